// Products of matrices in tiles that the registers hold.
#pragma once
#include "vectors.h"

namespace {

constexpr int BLOCK = 36;  // rows worked on together; what they are made of stays in the second-level cache

inline Int up(Int n, Int to) { return (n + to - 1) / to * to; }

// to[i, k] (+)= sum over n of a[i * ia + n * na] b[n * wide + k]: ROWS rows, two vectors of columns.
template <class T, int ROWS>
inline void product(const T* a, Int ia, Int na, const T* b, T* to, Int wide, Int depth, bool add) {
  typedef typename Vector<T>::type V;
  constexpr int L = Vector<T>::lanes;
  V sum[ROWS][2];
#pragma GCC unroll 12
  for (int i = 0; i < ROWS; i++) {
    sum[i][0] = add ? load<V>(to + i * wide) : V{};
    sum[i][1] = add ? load<V>(to + i * wide + L) : V{};
  }
  for (Int n = 0; n < depth; n++) {
    const V low = load<V>(b + n * wide), high = load<V>(b + n * wide + L);
#pragma GCC unroll 12
    for (int i = 0; i < ROWS; i++) {
      const T factor = a[i * ia + n * na];
      sum[i][0] += factor * low;
      sum[i][1] += factor * high;
    }
  }
#pragma GCC unroll 12
  for (int i = 0; i < ROWS; i++) {
    store(to + i * wide, sum[i][0]);
    store(to + i * wide + L, sum[i][1]);
  }
}

// The same for `rows` rows, at most ROWS.
template <class T, int ROWS>
inline void product(const T* a, Int ia, Int na, const T* b, T* to, Int rows, Int wide, Int depth, bool add) {
  if (rows == ROWS) return product<T, ROWS>(a, ia, na, b, to, wide, depth, add);
  if constexpr (ROWS > 1) product<T, ROWS - 1>(a, ia, na, b, to, rows, wide, depth, add);
}

// The same for all rows and columns, in tiles as even as can be: a small one would wait for its own sums.
template <class T>
void product(const T* a, Int ia, Int na, const T* b, T* to, Int rows, Int wide, Int depth, bool add) {
  const Int tiles = (rows + TALL - 1) / TALL;
  for (Int k = 0; k < wide; k += 2 * Vector<T>::lanes)
    for (Int t = 0; t < tiles; t++) {
      const Int i = rows * t / tiles, end = rows * (t + 1) / tiles;
      product<T, TALL>(a + i * ia, ia, na, b + k, to + i * wide + k, end - i, wide, depth, add);
    }
}

}  // namespace
