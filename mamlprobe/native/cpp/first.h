// The first block as one: a convolution of images with few colours, then norm, ReLU and pooling, without ever keeping
// the maps at full size; here its forward pass, and what `first_derivatives.h` shares with it. Only for the norm
// directly after the convolution, which sees the maps through sums alone:
//
// with the patches x_n (9 values a colour) of all positions, their mean m and covariance S, a filter w has outputs
// y = w x_n, h = hw x_n is a direction, and mean h = hw m, mean (h u) = r hw S w. So the gradient of w is
// gain (P - m d shift - r S w d scale), where P = sum g x_n goes over the winners alone, and the second derivative
// needs h at the winners alone; the formulas are those of `norm_relu_pool.py`, each map multiplied by the patches and
// summed.
#pragma once
#include "bytes.h"
#include "cells.h"
#include "patches.h"

namespace {

// Calls body(CIN, P), both constants, as the shape says.
template <class Body>
void by_colours_and_pool(const ImageShape& s, const Body& body) {
  by_colours(s, [&](auto colours) {
    if (s.pool == 2) body(colours, std::integral_constant<int, 2>{});
    else body(colours, std::integral_constant<int, 1>{});
  });
}

// Positions of CELLS neighbouring cells at once: y[(vector * CELLS + cell) * P * P + k] for COUNT vectors of channels.
template <class T, class V, int CIN, int P, int CELLS, int COUNT>
inline void positions(const T* x, const ImageShape& s, Int i, Int j, const T* w, Int C, V* y) {
  const Int W = s.width + 2, plane = (s.height + 2) * W;
  const T* at[CELLS * P * P];
  for (int q = 0; q < CELLS * P * P; q++) {
    const int k = q % (P * P);
    at[q] = x + (i * P + k / P) * s.step * W + ((j + q / (P * P)) * P + k % P) * s.step;
  }
  taps<T, V, CIN, CELLS * P * P, COUNT>(at, W, plane, w, C, y);
}

// Calls body(task, offset) for all cells in the order of memory: tasks lie side by side in the channels, or apart.
template <class Body>
void everywhere(const ImageShape& s, int threads, const Body& body) {
  const Int together = s.by_task < s.by_row ? s.tasks : 1, lines = s.rows * s.tall;
#pragma omp parallel for schedule(static) num_threads(threads)
  for (Int n = 0; n < s.tasks / together * lines; n++) {
    const Int base = n % lines / s.tall * s.by_row + n % s.tall * s.wide * s.by_pixel;
    for (Int j = 0; j < s.wide; j++)
      for (Int b = n / lines * together, end = b + together; b < end; b++)
        body(b, base + b * s.by_task + j * s.by_pixel);
  }
}

template <class T, int CIN, int P>
void first_forward_of(const FirstSaved<T>& saved, T* out, double* variance, const ImageShape& s, double eps,
                      int threads) {
  constexpr int N = 9 * CIN, CELLS = SPOTS / (P * P);
  const Int C = s.channels, pixels = CIN * s.height * s.width, rows = rows_of(s), columns = columns_of(s);
  const T *x = saved.x, *w = saved.taps, *scale = saved.scale, *shift = saved.shift;
  T *picked = saved.picked, *mean = saved.mean, *rstd = saved.rstd;
  uint8_t* which = saved.which;
  double* patch_mean = saved.patch_mean;
  patch_means<T, CIN>(x, s, patch_mean, threads);
  std::vector<T> pivot(s.tasks * C), sign(s.tasks * C), gain(s.tasks * C);
  for (Int b = 0; b < s.tasks; b++)
    for (Int c = 0; c < C; c++) {
      double y = 0;
      for (int t = 0; t < N; t++) y += w[b * s.weight_stride + t * C + c] * patch_mean[b * N + t];
      pivot[b * C + c] = T(y);
      sign[b * C + c] = sign_of(scale[b * s.stride + c]);
    }
  std::vector<double> parts(s.tasks * s.rows * 2 * C, 0.0);
#pragma omp parallel for schedule(static) num_threads(threads)
  for (Int n = 0; n < s.tasks * s.rows; n++) {
    const Int b = n / s.rows, base = b * s.by_task + n % s.rows * s.by_row;
    std::vector<T> image;
    padded<T, CIN>(x + n * pixels, s, image);
    const T* from = w + b * s.weight_stride;
    double *one = &parts[n * 2 * C], *two = one + C;
    strips<T>(C, [&](auto zero, auto many, Int c) {
      typedef decltype(zero) V;
      constexpr int L = sizeof(V) / sizeof(T);
      for (Int i = 0; i < s.tall; i++) {
        V d1[many] = {}, d2[many] = {};
        const auto take = [&](const V* y, Int j, int m) {
          V number;
          const Int to = base + (i * s.wide + j) * s.by_pixel + c + m * L;
          if (m == 0) soon<true>(picked + to + s.wide * s.by_pixel), soon<true>(which + to + s.wide * s.by_pixel);
          store(picked + to, winner<V, P>(y, load<V>(&sign[b * C + c + m * L]), number));
          remember(number, which + to);
          for (int k = 0; k < P * P; k++) {
            const V d = y[k] - load<V>(&pivot[b * C + c + m * L]);
            d1[m] += d;
            d2[m] += d * d;
          }
        };
        Int j = 0;
        V y[many * CELLS * P * P];
        for (; j + CELLS <= s.wide; j += CELLS) {
          positions<T, V, CIN, P, CELLS, many>(image.data(), s, i, j, from + c, C, y);
          for (int q = 0; q < many * CELLS; q++) take(y + q * P * P, j + q % CELLS, q / CELLS);
        }
        for (; j < s.wide; j++) {
          positions<T, V, CIN, P, 1, many>(image.data(), s, i, j, from + c, C, y);
          for (int m = 0; m < many; m++) take(y + m * P * P, j, m);
        }
        for (int m = 0; m < many; m++)
          for (int q = 0; q < L; q++) one[c + m * L + q] += d1[m][q], two[c + m * L + q] += d2[m][q];
      }
      for (Int i = 0; P > 1 && i < rows; i++)  // what no cell covers
        for (Int j = i < s.tall * P ? s.wide * P : 0; j < columns; j++) {
          V y[many];
          positions<T, V, CIN, 1, 1, many>(image.data(), s, i, j, from + c, C, y);
          for (int m = 0; m < many; m++) {
            const V d = y[m] - load<V>(&pivot[b * C + c + m * L]);
            for (int q = 0; q < L; q++) one[c + m * L + q] += d[q], two[c + m * L + q] += d[q] * d[q];
          }
        }
    });
  }
  for (Int b = 0; b < s.tasks; b++)
    for (Int c = 0; c < C; c++) {
      double one = 0, two = 0;
      for (Int r = 0; r < s.rows; r++) {
        one += parts[(b * s.rows + r) * 2 * C + c];
        two += parts[(b * s.rows + r) * 2 * C + C + c];
      }
      const double d = one / count_of(s), square = two / count_of(s) - d * d, var = square < 0 ? 0 : square;
      const Int n = b * C + c;
      mean[n] = T(pivot[n] + d);
      rstd[n] = T(1 / std::sqrt(var + eps));
      variance[n] = var;
      gain[n] = T(scale[b * s.stride + c] / std::sqrt(var + eps));
    }
  everywhere(s, threads, [&](Int b, Int at) {
    lanes<T>(C, [&](auto zero, Int c) {
      typedef decltype(zero) V;
      const V off = load<V>(picked + at + c) - load<V>(mean + b * C + c),
              z = load<V>(&gain[b * C + c]) * off + load<V>(shift + b * s.stride + c);
      store(out + at + c, z < V{} ? V{} : z);
    });
  });
}

// Computes the pooled outputs and the variance, and saves what the derivatives need.
template <class T>
void first_forward(const FirstSaved<T>& saved, T* out, double* variance, const ImageShape& s, double eps, int threads) {
  by_colours_and_pool(s, [&](auto colours, auto pool) {
    first_forward_of<T, colours, pool>(saved, out, variance, s, eps, threads);
  });
}

}  // namespace
