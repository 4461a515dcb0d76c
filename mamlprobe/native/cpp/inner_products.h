// Inner products of the columns [x, y, |x|^2, |y|^2, 1] of shifted rows, summed in double.
#pragma once
#include "product.h"

namespace {

struct Table {  // `wide` columns in whole register blocks
  Int rows, f, g, wide;
  explicit Table(const TableShape& s, Int lanes) : rows(s.rows), f(s.f), g(s.g), wide(up(f + g + 3, 2 * lanes)) {}
  Int width() const { return f + g + 3; }
};

template <class V>
struct Doubles {  // as many as V has lanes
  typedef double type __attribute__((vector_size(sizeof(V) / sizeof(V{}[0]) * sizeof(double))));
};

// z [count, wide] of the shifted rows from `first` on, and squares [f + g] of their columns.
template <class T>
void columns(const T* x, const T* y, const T* shift, const Table& s, Int first, Int count, T* z, double* squares) {
  const Int sides = s.f + s.g;
  std::fill(squares, squares + sides, 0.0);
  for (Int n = 0; n < count; n++) {
    T* to = z + n * s.wide;
    const T* from[2] = {x + (first + n) * s.f, y + (first + n) * s.g};
    for (int side = 0; side < 2; side++) {
      const Int start = side ? s.f : 0, size = side ? s.g : s.f;
      double sum = 0;
      typename Doubles<typename Vector<T>::type>::type several{};
      lanes<T>(size, [&](auto zero, Int c) {
        typedef decltype(zero) V;
        typedef typename Doubles<V>::type D;
        const V v = load<V>(from[side] + c) - load<V>(shift + start + c);
        store(to + start + c, v);
        const D exact = __builtin_convertvector(v, D), square = exact * exact;
        store(squares + start + c, load<D>(squares + start + c) + square);
        if constexpr (sizeof(V) == sizeof(T)) sum += square[0];
        else several += square;
      });
      to[sides + side] = T(sum + across(several));
    }
    to[sides + 2] = T(1);
    std::fill(to + s.width(), to + s.wide, T(0));
  }
}

// Adds to the lower triangle of total [width, width] and to squares [f + g].
template <class T>
void inner_products(const T* x, const T* y, const T* shift, double* total, double* squares, const TableShape& shape,
                    int threads) {
  const Table s(shape, Vector<T>::lanes);
  constexpr Int ROWS = TALL;
  const Int strip = 2 * Vector<T>::lanes, width = s.width(), pieces = (s.rows + PIECE - 1) / PIECE;
  const auto z = room<T>(pieces * PIECE * s.wide + ROWS);  // a block may reach beyond the last column
  const auto parts = room<double>(pieces * (s.f + s.g));
  std::vector<Int> corners;  // of blocks of the triangle: row, column
  for (Int k = 0; k < width; k += strip)
    for (Int i = k; i < width; i += ROWS) corners.insert(corners.end(), {i, k});
#pragma omp parallel num_threads(threads)
  {
#pragma omp for schedule(static)
    for (Int p = 0; p < pieces; p++)
      columns(x, y, shift, s, p * PIECE, std::min<Int>(PIECE, s.rows - p * PIECE), &z[p * PIECE * s.wide],
              &parts[p * (s.f + s.g)]);
    const auto block = room<T>(ROWS * s.wide);
    for (Int p = 0; p < pieces; p++) {
      const T* piece = &z[p * PIECE * s.wide];
      const Int depth = std::min<Int>(PIECE, s.rows - p * PIECE);
#pragma omp for schedule(static) nowait
      for (size_t n = 0; n < corners.size() / 2; n++) {
        const Int i = corners[2 * n], k = corners[2 * n + 1], count = std::min(ROWS, width - i);
        if (count > 4) product<T, ROWS>(piece + i, Int(1), s.wide, piece + k, block.get(), s.wide, depth, false);
        else product<T, 4>(piece + i, Int(1), s.wide, piece + k, block.get(), s.wide, depth, false);
        for (Int r = 0; r < count; r++)
          for (Int c = 0; c < std::min(strip, width - k); c++) total[(i + r) * width + k + c] += block[r * s.wide + c];
      }
    }
  }
  for (Int p = 0; p < pieces; p++)
    for (Int c = 0; c < s.f + s.g; c++) squares[c] += parts[p * (s.f + s.g) + c];
}

}  // namespace
