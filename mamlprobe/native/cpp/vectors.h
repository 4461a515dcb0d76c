// Vectors as wide as the processor's registers, and loops over channels by them.
#pragma once
#include <algorithm>
#include <cmath>
#include <cstdint>
#include <cstring>
#include <limits>
#include <memory>
#include <type_traits>
#include <vector>

#if defined(__SSE2__)
#include <immintrin.h>
#endif

#include "arguments.h"
#include "tiles.h"

template <class T>
struct Vector;
template <>
struct Vector<float> {
  typedef float type __attribute__((vector_size(WIDE)));
  static constexpr int lanes = WIDE / 4;
};
template <>
struct Vector<double> {
  typedef double type __attribute__((vector_size(WIDE)));
  static constexpr int lanes = WIDE / 8;
};

template <class V, class T>
inline V load(const T* from) {
  V v;
  std::memcpy(&v, from, sizeof v);
  return v;
}

template <class V, class T>
inline void store(T* to, const V& v) {
  std::memcpy(to, &v, sizeof v);
}

// Sum of the lanes.
template <class V>
inline double across(const V& v) {
  double sum = 0;
  for (size_t q = 0; q < sizeof(V) / sizeof(v[0]); q++) sum += v[q];
  return sum;
}

// Room for values that are written before they are read: unlike a vector, it is not filled with zeros first.
template <class T>
std::unique_ptr<T[]> room(Int count) {
  return std::unique_ptr<T[]>(new T[count]);
}

// Asks for what will soon be read or written: where tasks lie side by side, pixels are so far apart that the processor
// does not guess the next one.
template <bool WRITE = false, class T>
inline void soon(const T* at) {
  __builtin_prefetch(at, WRITE);
}

// Calls body(V{}, channel) for whole vectors of channels from c on, then for the rest one by one.
template <class T, class Body>
inline void lanes(Int channels, const Body& body, Int c = 0) {
  typedef T One __attribute__((vector_size(sizeof(T))));
  constexpr int L = Vector<T>::lanes;
  for (; c + L <= channels; c += L) body(typename Vector<T>::type{}, c);
  for (; c < channels; c++) body(One{}, c);
}

// Calls body(V{}, number of vectors, channel) for MANY vectors of channels at a time, then for what is left as `lanes`.
template <class T, class Body>
inline void strips(Int channels, const Body& body) {
  constexpr int STRIP = MANY * Vector<T>::lanes;
  Int c = 0;
  for (; c + STRIP <= channels; c += STRIP)
    body(typename Vector<T>::type{}, std::integral_constant<int, MANY>{}, c);
  lanes<T>(channels, [&](auto zero, Int c) { body(zero, std::integral_constant<int, 1>{}, c); }, c);
}
