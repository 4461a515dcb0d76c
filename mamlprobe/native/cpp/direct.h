// Convolution by any window, as a product of patches and weights, and its two derivatives: for nets that step by more
// than one or do not pad, and for maps too small for `winograd.h`. Maps are those of that file, height and width of the
// input.
#pragma once
#include "winograd.h"

namespace {

struct Windows {
  Maps maps;
  Int side, step, pad;
  Int taps() const { return side * side; }
  Int tall() const { return (maps.height + 2 * pad - side) / step + 1; }
  Int wide() const { return (maps.width + 2 * pad - side) / step + 1; }
  Int places() const { return tall() * wide(); }
};

// Calls body(tap, offset) for the taps of an output place (in one image) that lie inside the input.
template <class Body>
inline void inside(const Windows& s, Int place, const Body& body) {
  const Int i0 = place / s.wide() * s.step - s.pad, j0 = place % s.wide() * s.step - s.pad;
  for (Int t = 0; t < s.taps(); t++) {
    const Int i = i0 + t / s.side, j = j0 + t % s.side;
    if (i >= 0 && i < s.maps.height && j >= 0 && j < s.maps.width) body(t, (i * s.maps.width + j) * s.maps.in_pixel);
  }
}

// Patches [count, taps in] of one task's places first ... first + count - 1, rows of images behind each other.
template <class T>
void gather_patches(const T* x, T* to, const Windows& s, Int first, Int count) {
  const Int C = s.maps.in, taps = s.taps(), image = s.maps.height * s.maps.width * s.maps.in_pixel;
  std::fill(to, to + count * taps * C, T(0));
  for (Int n = 0; n < count; n++) {
    const Int place = first + n;
    const T* from = x + place / s.places() * image;
    inside(s, place % s.places(),
           [&](Int t, Int at) { std::memcpy(to + (n * taps + t) * C, from + at, C * sizeof(T)); });
  }
}

// y = the sum of `pairs` (1 or 2) convolutions, of maps x[p] by weights w[p] [out, in, side, side].
template <class T>
void direct(const T* const* x, const T* const* w, int pairs, T* y, const Windows& s, int threads) {
  const Maps& m = s.maps;
  const Int taps = s.taps();
  const Int wide = up(m.out, 2 * Vector<T>::lanes), size = taps * m.in * wide, all = m.rows * s.places(),
            blocks = (all + BLOCK - 1) / BLOCK;
  std::vector<T> u(size * m.tasks * pairs, T(0));
#pragma omp parallel num_threads(threads)
  {
#pragma omp for schedule(static)
    for (Int n = 0; n < m.tasks * pairs; n++) {
      const T* from = w[n / m.tasks] + n % m.tasks * m.in * m.out * taps;
      for (Int k = 0; k < m.out; k++)
        for (Int c = 0; c < m.in; c++)
          for (Int t = 0; t < taps; t++) u[n * size + (t * m.in + c) * wide + k] = from[(k * m.in + c) * taps + t];
    }
    const auto patch = room<T>(BLOCK * taps * m.in), out = room<T>(BLOCK * wide);
#pragma omp for schedule(static)
    for (Int n = 0; n < m.tasks * blocks; n++) {
      const Int task = n / blocks, first = n % blocks * BLOCK, count = std::min<Int>(BLOCK, all - first);
      for (int p = 0; p < pairs; p++) {
        gather_patches(x[p] + task * m.in_task, patch.get(), s, first, count);
        product(patch.get(), taps * m.in, Int(1), &u[(p * m.tasks + task) * size], out.get(), count, wide, taps * m.in,
                p > 0);
      }
      for (Int q = 0; q < count; q++)
        std::memcpy(y + task * m.out_task + (first + q) * m.out_pixel, &out[q * wide], m.out * sizeof(T));
    }
  }
}

// gx of maps like x, from maps gy and weights w.
template <class T>
void direct_input(const T* gy, const T* w, T* gx, const Windows& s, int threads) {
  const Maps& m = s.maps;
  const Int taps = s.taps();
  const Int wide = up(taps * m.in, 2 * Vector<T>::lanes), size = m.out * wide,
            image = m.height * m.width * m.in_pixel;
  std::vector<T> u(size * m.tasks, T(0));
#pragma omp parallel num_threads(threads)
  {
#pragma omp for schedule(static)
    for (Int n = 0; n < m.tasks * m.out; n++)
      for (Int c = 0; c < m.in; c++)
        for (Int t = 0; t < taps; t++) u[n * wide + t * m.in + c] = w[(n * m.in + c) * taps + t];
    const auto out = room<T>(BLOCK * wide);
#pragma omp for schedule(static)
    for (Int n = 0; n < m.tasks * m.rows; n++) {
      const Int task = n / m.rows, row = n % m.rows;
      T* to = gx + task * m.in_task + row * image;
      for (Int q = 0; q < m.height * m.width; q++) std::fill(to + q * m.in_pixel, to + q * m.in_pixel + m.in, T(0));
      for (Int first = 0; first < s.places(); first += BLOCK) {
        const Int count = std::min<Int>(BLOCK, s.places() - first);
        product(gy + task * m.out_task + (row * s.places() + first) * m.out_pixel, m.out_pixel, Int(1),
                &u[task * size], out.get(), count, wide, m.out, false);
        for (Int q = 0; q < count; q++)
          inside(s, first + q, [&](Int t, Int at) {
            const T* part = &out[q * wide + t * m.in];
            T* here = to + at;
            lanes<T>(m.in, EACH store(here + c, HERE(here) + HERE(part)); });
          });
      }
    }
  }
}

// gw [tasks, out, in, side, side] from maps x and gy.
template <class T>
void direct_weight(const T* x, const T* gy, T* gw, const Windows& s, int threads) {
  const Maps& m = s.maps;
  const Int taps = s.taps();
  const Int wide = up(m.out, 2 * Vector<T>::lanes), size = taps * m.in * wide, all = m.rows * s.places(),
            blocks = (all + BLOCK - 1) / BLOCK, parts = std::max<Int>(1, std::min(blocks, 16 / m.tasks));
  const auto sums = room<T>(size * m.tasks * parts);
#pragma omp parallel num_threads(threads)
  {
    const auto patch = room<T>(BLOCK * taps * m.in);
    std::vector<T> slopes(BLOCK * wide, T(0));
#pragma omp for schedule(static)
    for (Int n = 0; n < m.tasks * parts; n++) {
      const Int task = n / parts, part = n % parts;
      const Int begin = blocks * part / parts;
      for (Int b = begin; b < blocks * (part + 1) / parts; b++) {
        const Int first = b * BLOCK, count = std::min<Int>(BLOCK, all - first);
        gather_patches(x + task * m.in_task, patch.get(), s, first, count);
        for (Int q = 0; q < count; q++)
          std::memcpy(&slopes[q * wide], gy + task * m.out_task + (first + q) * m.out_pixel, m.out * sizeof(T));
        product(patch.get(), Int(1), taps * m.in, slopes.data(), &sums[n * size], taps * m.in, wide, count, b > begin);
      }
    }
#pragma omp for schedule(static)
    for (Int n = 0; n < m.tasks * m.in; n++) {
      const Int task = n / m.in, channel = n % m.in;
      for (Int t = 0; t < taps; t++)
        for (Int k = 0; k < m.out; k++) {
          double sum = 0;
          for (Int p = 0; p < parts; p++) sum += sums[(task * parts + p) * size + (t * m.in + channel) * wide + k];
          gw[((task * m.out + k) * m.in + channel) * taps + t] = T(sum);
        }
    }
  }
}

}  // namespace
