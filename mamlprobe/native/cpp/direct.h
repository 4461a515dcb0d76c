// Convolution by any window, as a product of patches and weights, and its two derivatives: for nets that step by more
// than one or do not pad, and for maps too small for `winograd.h`.
#pragma once
#include "product.h"

namespace {

inline Int taps_of(const ConvShape& s) { return s.side * s.side; }
inline Int made_height(const ConvShape& s) { return (s.height + 2 * s.pad - s.side) / s.step + 1; }
inline Int made_width(const ConvShape& s) { return (s.width + 2 * s.pad - s.side) / s.step + 1; }
inline Int places_of(const ConvShape& s) { return made_height(s) * made_width(s); }

// Calls body(tap, offset) for the taps of an output place (in one image) that lie inside the input.
template <class Body>
inline void inside(const ConvShape& s, Int place, const Body& body) {
  const Int i0 = place / made_width(s) * s.step - s.pad, j0 = place % made_width(s) * s.step - s.pad;
  for (Int t = 0; t < taps_of(s); t++) {
    const Int i = i0 + t / s.side, j = j0 + t % s.side;
    if (i >= 0 && i < s.height && j >= 0 && j < s.width) body(t, (i * s.width + j) * s.in_by_pixel);
  }
}

// Patches [count, taps in] of one task's places first ... first + count - 1, rows of images behind each other.
template <class T>
void gather_patches(const T* x, T* to, const ConvShape& s, Int first, Int count) {
  const Int C = s.in_channels, taps = taps_of(s), image = s.height * s.width * s.in_by_pixel;
  std::fill(to, to + count * taps * C, T(0));
  for (Int n = 0; n < count; n++) {
    const Int place = first + n;
    const T* from = x + place / places_of(s) * image;
    inside(s, place % places_of(s),
           [&](Int t, Int at) { std::memcpy(to + (n * taps + t) * C, from + at, C * sizeof(T)); });
  }
}

// y = the convolution of maps x by weights w [out, in, side, side] and, where they are given, of x2 by w2.
template <class T>
void direct(const T* x, const T* w, const T* x2, const T* w2, T* y, const ConvShape& s, int threads) {
  const T *const maps[2] = {x, x2}, *const by[2] = {w, w2};
  const int pairs = x2 == nullptr ? 1 : 2;
  const Int C = s.in_channels, K = s.out_channels, taps = taps_of(s), wide = up(K, 2 * Vector<T>::lanes),
            size = taps * C * wide, all = s.rows * places_of(s), blocks = (all + BLOCK - 1) / BLOCK;
  std::vector<T> u(size * s.tasks * pairs, T(0));
#pragma omp parallel num_threads(threads)
  {
#pragma omp for schedule(static)
    for (Int n = 0; n < s.tasks * pairs; n++) {
      const T* from = by[n / s.tasks] + n % s.tasks * C * K * taps;
      for (Int k = 0; k < K; k++)
        for (Int c = 0; c < C; c++)
          for (Int t = 0; t < taps; t++) u[n * size + (t * C + c) * wide + k] = from[(k * C + c) * taps + t];
    }
    const auto patch = room<T>(BLOCK * taps * C), out = room<T>(BLOCK * wide);
#pragma omp for schedule(static)
    for (Int n = 0; n < s.tasks * blocks; n++) {
      const Int task = n / blocks, first = n % blocks * BLOCK, count = std::min<Int>(BLOCK, all - first);
      for (int p = 0; p < pairs; p++) {
        gather_patches(maps[p] + task * s.in_by_task, patch.get(), s, first, count);
        const T* by_task = &u[(p * s.tasks + task) * size];
        product(patch.get(), taps * C, Int(1), by_task, out.get(), count, wide, taps * C, p > 0);
      }
      for (Int q = 0; q < count; q++)
        std::memcpy(y + task * s.out_by_task + (first + q) * s.out_by_pixel, &out[q * wide], K * sizeof(T));
    }
  }
}

// gx of maps like x, from maps gy and weights w.
template <class T>
void direct_input(const T* gy, const T* w, T* gx, const ConvShape& s, int threads) {
  const Int C = s.in_channels, K = s.out_channels, taps = taps_of(s), wide = up(taps * C, 2 * Vector<T>::lanes),
            size = K * wide, image = s.height * s.width * s.in_by_pixel;
  std::vector<T> u(size * s.tasks, T(0));
#pragma omp parallel num_threads(threads)
  {
#pragma omp for schedule(static)
    for (Int n = 0; n < s.tasks * K; n++)
      for (Int c = 0; c < C; c++)
        for (Int t = 0; t < taps; t++) u[n * wide + t * C + c] = w[(n * C + c) * taps + t];
    const auto out = room<T>(BLOCK * wide);
#pragma omp for schedule(static)
    for (Int n = 0; n < s.tasks * s.rows; n++) {
      const Int task = n / s.rows, row = n % s.rows;
      T* to = gx + task * s.in_by_task + row * image;
      for (Int q = 0; q < s.height * s.width; q++) std::fill(to + q * s.in_by_pixel, to + q * s.in_by_pixel + C, T(0));
      for (Int first = 0; first < places_of(s); first += BLOCK) {
        const Int count = std::min<Int>(BLOCK, places_of(s) - first);
        product(gy + task * s.out_by_task + (row * places_of(s) + first) * s.out_by_pixel, s.out_by_pixel, Int(1),
                &u[task * size], out.get(), count, wide, K, false);
        for (Int q = 0; q < count; q++)
          inside(s, first + q, [&](Int t, Int at) {
            const T* part = &out[q * wide + t * C];
            T* here = to + at;
            lanes<T>(C, [&](auto zero, Int c) {
              typedef decltype(zero) V;
              store(here + c, load<V>(here + c) + load<V>(part + c));
            });
          });
      }
    }
  }
}

// gw [tasks, out, in, side, side] from maps x and gy.
template <class T>
void direct_weight(const T* x, const T* gy, T* gw, const ConvShape& s, int threads) {
  const Int C = s.in_channels, K = s.out_channels, taps = taps_of(s), wide = up(K, 2 * Vector<T>::lanes),
            size = taps * C * wide, all = s.rows * places_of(s), blocks = (all + BLOCK - 1) / BLOCK,
            parts = std::max<Int>(1, std::min(blocks, 16 / s.tasks));
  const auto sums = room<T>(size * s.tasks * parts);
#pragma omp parallel num_threads(threads)
  {
    const auto patch = room<T>(BLOCK * taps * C);
    std::vector<T> slopes(BLOCK * wide, T(0));
#pragma omp for schedule(static)
    for (Int n = 0; n < s.tasks * parts; n++) {
      const Int task = n / parts, part = n % parts;
      const Int begin = blocks * part / parts;
      for (Int b = begin; b < blocks * (part + 1) / parts; b++) {
        const Int first = b * BLOCK, count = std::min<Int>(BLOCK, all - first);
        gather_patches(x + task * s.in_by_task, patch.get(), s, first, count);
        for (Int q = 0; q < count; q++)
          std::memcpy(&slopes[q * wide], gy + task * s.out_by_task + (first + q) * s.out_by_pixel, K * sizeof(T));
        product(patch.get(), Int(1), taps * C, slopes.data(), &sums[n * size], taps * C, wide, count, b > begin);
      }
    }
#pragma omp for schedule(static)
    for (Int n = 0; n < s.tasks * C; n++) {
      const Int task = n / C, channel = n % C;
      for (Int t = 0; t < taps; t++)
        for (Int k = 0; k < K; k++) {
          double sum = 0;
          for (Int p = 0; p < parts; p++) sum += sums[(task * parts + p) * size + (t * C + channel) * wide + k];
          gw[((task * K + k) * C + channel) * taps + t] = T(sum);
        }
    }
  }
}

}  // namespace
