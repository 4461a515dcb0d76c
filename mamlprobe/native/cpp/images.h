// The convolution of images with few colours, whose own gradient nobody asks for.
#pragma once
#include "vectors.h"

namespace {

// Calls body(CIN), a constant, as the shape says.
template <class Body>
void by_colours(const ImageShape& s, const Body& body) {
  if (s.colours == 3) body(std::integral_constant<int, 3>{});
  else body(std::integral_constant<int, 1>{});
}

template <class T, int CIN>
void padded(const T* x, const ImageShape& s, std::vector<T>& into) {
  const Int W = s.width + 2 * s.pad, H = s.height + 2 * s.pad;
  into.assign(CIN * H * W, T(0));
  for (int c = 0; c < CIN; c++)
    for (Int i = 0; i < s.height; i++)
      std::memcpy(&into[(c * H + i + s.pad) * W + s.pad], x + (c * s.height + i) * s.width, s.width * sizeof(T));
}

// Sums over the nine taps a colour at SIZE places at[..]: sum[m * SIZE + q] for V of the COUNT vectors of channels w.
template <class T, class V, int CIN, int SIZE, int COUNT>
inline void taps(const T* const* at, Int W, Int plane, const T* w, Int C, V* sum) {
  constexpr int L = sizeof(V) / sizeof(T);
  for (int q = 0; q < COUNT * SIZE; q++) sum[q] = V{};
  for (int c = 0; c < CIN; c++)
    for (int a = 0; a < 3; a++)
      for (int b = 0; b < 3; b++) {
        V weight[COUNT];
        for (int m = 0; m < COUNT; m++) weight[m] = load<V>(w + ((c * 3 + a) * 3 + b) * C + m * L);
        const Int offset = c * plane + a * W + b;
#pragma GCC unroll 8
        for (int q = 0; q < SIZE; q++) {
          const T value = at[q][offset];
          for (int m = 0; m < COUNT; m++) sum[m * SIZE + q] += value * weight[m];
        }
      }
}

template <class T, class V, int CIN, int PIXELS, int COUNT>
inline void pixels_of(const T* x, const ImageShape& s, Int i, Int j, const T* w, Int C, T* y) {
  const Int W = s.width + 2 * s.pad, plane = (s.height + 2 * s.pad) * W;
  const T* at[PIXELS];
  V sum[COUNT * PIXELS];
  for (int p = 0; p < PIXELS; p++) at[p] = x + i * s.step * W + (j + p) * s.step;
  taps<T, V, CIN, PIXELS, COUNT>(at, W, plane, w, C, sum);
  if (s.by_pixel * sizeof(T) < 4096)  // else they would drive one another out of the first-level cache
    for (int p = 0; p < PIXELS; p++) soon<true>(y + (16 + p) * s.by_pixel);
  for (int p = 0; p < PIXELS; p++)
    for (int m = 0; m < COUNT; m++) store(y + p * s.by_pixel + m * (sizeof(V) / sizeof(T)), sum[m * PIXELS + p]);
}

template <class T, int CIN>
void first_conv_of(const T* x, const T* w, T* y, const ImageShape& s, int threads) {
  const Int C = s.channels;
#pragma omp parallel for schedule(static) num_threads(threads)
  for (Int n = 0; n < s.tasks * s.rows; n++) {
    std::vector<T> image;
    padded<T, CIN>(x + n * CIN * s.height * s.width, s, image);
    const T* weights = w + n / s.rows * s.weight_stride;
    T* out = y + n / s.rows * s.by_task + n % s.rows * s.by_row;
    for (Int i = 0; i < s.tall; i++)
      strips<T>(C, [&](auto zero, auto many, Int c) {
        typedef decltype(zero) V;
        Int j = 0;
        T* line = out + i * s.wide * s.by_pixel + c;
        for (; j + SPOTS <= s.wide; j += SPOTS)
          pixels_of<T, V, CIN, SPOTS, many>(image.data(), s, i, j, weights + c, C, line + j * s.by_pixel);
        for (; j < s.wide; j++)
          pixels_of<T, V, CIN, 1, many>(image.data(), s, i, j, weights + c, C, line + j * s.by_pixel);
      });
  }
}

// Adds to gw [.., C], for COUNT vectors of channels and the taps in ROWS rows of three from `first` on, corner(j, k)[t]
// times part(j, k, vector) over j < count, k < TIMES. A row of taps is of a colour, `plane` apart, and a line, W apart.
template <class T, class V, int ROWS, int TIMES, int COUNT, class Corner, class Part>
inline void correlate(int first, Int W, Int plane, Int count, const Corner& corner, const Part& part, T* gw, Int C) {
  constexpr int L = sizeof(V) / sizeof(T);
  V sum[3 * ROWS][COUNT];
  Int offset[ROWS];
#pragma GCC unroll 9
  for (int r = 0; r < ROWS; r++) offset[r] = (first + r) / 3 * plane + (first + r) % 3 * W;
#pragma GCC unroll 27
  for (int t = 0; t < 3 * ROWS; t++)
    for (int m = 0; m < COUNT; m++) sum[t][m] = load<V>(gw + (3 * first + t) * C + m * L);
  for (Int j = 0; j < count; j++)
#pragma GCC unroll 4
    for (int k = 0; k < TIMES; k++) {
      const T* from = corner(j, k);
      V g[COUNT];
      for (int m = 0; m < COUNT; m++) g[m] = part(j, k, m);
#pragma GCC unroll 27
      for (int t = 0; t < 3 * ROWS; t++) {
        const T value = from[offset[t / 3] + t % 3];
        for (int m = 0; m < COUNT; m++) sum[t][m] += value * g[m];
      }
    }
#pragma GCC unroll 27
  for (int t = 0; t < 3 * ROWS; t++)
    for (int m = 0; m < COUNT; m++) store(gw + (3 * first + t) * C + m * L, sum[t][m]);
}

// The same for all taps of CIN colours.
template <class T, class V, int CIN, int TIMES, int COUNT, class Corner, class Part>
inline void correlate(Int W, Int plane, Int count, const Corner& corner, const Part& part, T* gw, Int C) {
  constexpr int ROWS = std::min(TRIPLES, 3 * CIN), LEFT = 3 * CIN % ROWS;
  int first = 0;
  for (; first + ROWS <= 3 * CIN; first += ROWS)
    correlate<T, V, ROWS, TIMES, COUNT>(first, W, plane, count, corner, part, gw, C);
  if constexpr (LEFT > 0) correlate<T, V, LEFT, TIMES, COUNT>(first, W, plane, count, corner, part, gw, C);
}

template <class T, int CIN>
void first_conv_weight_of(const T* x, const T* gy, T* gw, const ImageShape& s, int threads) {
  const Int C = s.channels, size = 9 * CIN * C, W = s.width + 2 * s.pad, plane = (s.height + 2 * s.pad) * W;
  std::vector<T> parts(s.tasks * s.rows * size, T(0));
#pragma omp parallel for schedule(static) num_threads(threads)
  for (Int n = 0; n < s.tasks * s.rows; n++) {
    std::vector<T> image;
    padded<T, CIN>(x + n * CIN * s.height * s.width, s, image);
    const T* from = gy + n / s.rows * s.by_task + n % s.rows * s.by_row;
    for (Int i = 0; i < s.tall; i++)
      strips<T>(C, [&](auto zero, auto many, Int c) {
        typedef decltype(zero) V;
        const T *line = from + i * s.wide * s.by_pixel + c, *pixels = image.data() + i * s.step * W;
        const Int by_pixel = s.by_pixel, step = s.step, ahead = s.wide * by_pixel;
        correlate<T, V, CIN, 1, many>(
            W, plane, s.wide, [=](Int j, int) { return pixels + j * step; },
            [=](Int j, int, int m) {
              const T* at = line + j * by_pixel;
              if (m == 0) soon(at + ahead);
              return load<V>(at + m * (sizeof(V) / sizeof(T)));
            },
            &parts[n * size + c], C);
      });
  }
  std::vector<double> sum(size);
  for (Int b = 0; b < s.tasks; b++) {
    std::fill(sum.begin(), sum.end(), 0.0);
    for (Int r = 0; r < s.rows; r++)
      for (Int t = 0; t < size; t++) sum[t] += parts[(b * s.rows + r) * size + t];
    for (Int t = 0; t < size; t++) gw[b * size + t] = T(sum[t]);
  }
}

// y, the maps of images x by weights w [colours, 3, 3, channels].
template <class T>
void first_conv(const T* x, const T* w, T* y, const ImageShape& s, int threads) {
  by_colours(s, [&](auto colours) { first_conv_of<T, colours>(x, w, y, s, threads); });
}

// gw, like w, from images x and maps gy.
template <class T>
void first_conv_weight(const T* x, const T* gy, T* gw, const ImageShape& s, int threads) {
  by_colours(s, [&](auto colours) { first_conv_weight_of<T, colours>(x, gy, gw, s, threads); });
}

}  // namespace
