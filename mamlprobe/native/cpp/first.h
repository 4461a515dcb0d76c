// The first block as one: a convolution of images with few colours, then norm, ReLU and pooling, without ever keeping
// the maps at full size. Only for the norm directly after the convolution, which sees them through sums alone:
//
// with the patches x_n (9 values a colour) of all positions, their mean m and covariance S, a filter w has outputs
// y = w x_n, h = hw x_n is a direction, and mean h = hw m, mean (h u) = r hw S w. So the gradient of w is
// gain (P - m d shift - r S w d scale), where P = sum g x_n goes over the winners alone, and the second derivative
// needs h at the winners alone; the formulas are those of cells.py, each map multiplied by the patches and summed.
#pragma once
#include "bytes.h"
#include "cells.h"
#include "images.h"
#include "winograd.h"

namespace {

// Positions of CELLS neighbouring cells at once: y[(vector * CELLS + cell) * P * P + k] for COUNT vectors of channels.
template <class T, class V, int CIN, int P, int CELLS, int COUNT>
inline void positions(const T* x, const Images& s, Int i, Int j, const T* w, Int C, V* y) {
  const Int W = s.width + 2, plane = (s.height + 2) * W;
  const T* at[CELLS * P * P];
  for (int q = 0; q < CELLS * P * P; q++) {
    const int k = q % (P * P);
    at[q] = x + (i * P + k / P) * s.step * W + ((j + q / (P * P)) * P + k % P) * s.step;
  }
  taps<T, V, CIN, CELLS * P * P, COUNT>(at, W, plane, w, C, y);
}

// Here `tall` and `wide` of the images count cells, `rows_of` and `columns_of` positions.
inline Int rows_of(const Images& s) { return (s.height - 1) / s.step + 1; }
inline Int columns_of(const Images& s) { return (s.width - 1) / s.step + 1; }
inline double count_of(const Images& s) { return double(s.rows) * rows_of(s) * columns_of(s); }

// Calls body(task, offset) for all cells in the order of memory: tasks lie side by side in the channels, or apart.
template <class Body>
void everywhere(const Images& s, int threads, const Body& body) {
  const Int together = s.by_task < s.by_row ? s.tasks : 1, lines = s.rows * s.tall;
#pragma omp parallel for schedule(static) num_threads(threads)
  for (Int n = 0; n < s.tasks / together * lines; n++) {
    const Int base = n % lines / s.tall * s.by_row + n % s.tall * s.wide * s.by_pixel;
    for (Int j = 0; j < s.wide; j++)
      for (Int b = n / lines * together, end = b + together; b < end; b++)
        body(b, base + b * s.by_task + j * s.by_pixel);
  }
}

// Sum of the lanes.
template <class V>
inline double across(const V& v) {
  double sum = 0;
  for (size_t q = 0; q < sizeof(V) / sizeof(v[0]); q++) sum += v[q];
  return sum;
}

// Mean [tasks, 9 CIN] of the patches.
template <class T, int CIN>
void patch_means(const T* x, const Images& s, double* mean, int threads) {
  constexpr int N = 9 * CIN;
  const Int H = s.height, W = s.width;
  std::vector<double> parts(s.tasks * s.rows * N, 0.0);
#pragma omp parallel for schedule(static) num_threads(threads)
  for (Int n = 0; n < s.tasks * s.rows * CIN; n++) {
    std::vector<double> columns(W + 2);
    for (int a = 0; a < 3; a++) {
      std::fill(columns.begin(), columns.end(), 0.0);
      for (Int i = a == 0 ? s.step - 1 : a - 1; i < H && i - a + 1 < H; i += s.step) {
        const T* from = x + (n * H + i) * W;
        double* to = columns.data() + 1;
        for (Int j = 0; j < W; j++) to[j] += from[j];
      }
      for (int b = 0; b < 3; b++)
        for (Int j = 0; j < W; j += s.step) parts[n * 9 + a * 3 + b] += columns[j + b];
    }
  }
  for (Int b = 0; b < s.tasks; b++)
    for (int t = 0; t < N; t++) {
      double sum = 0;
      for (Int r = 0; r < s.rows; r++) sum += parts[(b * s.rows + r) * N + t];
      mean[b * N + t] = sum / count_of(s);
    }
}

// Covariance [tasks, 9 CIN, 9 CIN] of the patches: products of rows of values, three taps against three at a time.
template <class T, int CIN>
void patch_covariances(const T* x, const Images& s, double* covariance, int threads) {
  typedef typename Vector<T>::type V;
  constexpr int N = 9 * CIN, L = Vector<T>::lanes, TRIPLES = N / 3, PAIRS = TRIPLES * (TRIPLES + 1) / 2;
  const Int W = s.width + 2, plane = (s.height + 2) * W, pixels = CIN * s.height * s.width, wide = up(columns_of(s), L);
  std::vector<T> pivot(s.tasks * CIN);
  for (Int b = 0; b < s.tasks * CIN; b++) {
    double sum = 0;
    for (Int r = 0; r < s.rows; r++)
      for (Int q = 0; q < s.height * s.width; q++)
        sum += x[((b / CIN * s.rows + r) * CIN + b % CIN) * s.height * s.width + q];
    pivot[b] = T(sum / (double(s.rows) * s.height * s.width));
  }
  std::vector<double> parts(s.tasks * s.rows * (N + 1) * N);
#pragma omp parallel for schedule(static) num_threads(threads)
  for (Int n = 0; n < s.tasks * s.rows; n++) {
    std::vector<T> image, line(N * wide, T(0));
    padded<T, CIN>(x + n * pixels, s, image);
    const T* off = &pivot[n / s.rows * CIN];
    std::vector<V> products(PAIRS * 9, V{}), sums(N, V{});
    for (Int i = 0; i < rows_of(s); i++) {
      for (int t = 0; t < N; t++) {
        const T* from = &image[t / 9 * plane + (i * s.step + t / 3 % 3) * W + t % 3];
        T* to = &line[t * wide];
        const T less = off[t / 9];
        const Int columns = columns_of(s);
        if (s.step == 1)
          for (Int j = 0; j < columns; j++) to[j] = from[j] - less;
        else
          for (Int j = 0; j < columns; j++) to[j] = from[j * s.step] - less;
        for (Int j = 0; j < wide; j += L) sums[t] += load<V>(&line[t * wide + j]);
      }
      V* to = products.data();
      for (int g = 0; g < TRIPLES; g++)
        for (int h = g; h < TRIPLES; h++, to += 9) {
          V sum[9];
          for (int q = 0; q < 9; q++) sum[q] = to[q];
          for (Int j = 0; j < wide; j += L) {
            const T *a = &line[3 * g * wide + j], *b = &line[3 * h * wide + j];
            const V a0 = load<V>(a), a1 = load<V>(a + wide), a2 = load<V>(a + 2 * wide);
            const V b0 = load<V>(b), b1 = load<V>(b + wide), b2 = load<V>(b + 2 * wide);
            sum[0] += a0 * b0, sum[1] += a0 * b1, sum[2] += a0 * b2;
            sum[3] += a1 * b0, sum[4] += a1 * b1, sum[5] += a1 * b2;
            sum[6] += a2 * b0, sum[7] += a2 * b1, sum[8] += a2 * b2;
          }
          for (int q = 0; q < 9; q++) to[q] = sum[q];
        }
    }
    double* into = &parts[n * (N + 1) * N];
    const V* from = products.data();
    for (int g = 0; g < TRIPLES; g++)
      for (int h = g; h < TRIPLES; h++, from += 9)
        for (int q = 0; q < 9; q++) {
          const int t = 3 * g + q / 3, u = 3 * h + q % 3;
          into[t * N + u] = into[u * N + t] = across(from[q]);
        }
    for (int t = 0; t < N; t++) into[N * N + t] = across(sums[t]);
  }
  const double n = count_of(s);
  std::vector<double> sum((N + 1) * N);
  for (Int b = 0; b < s.tasks; b++) {
    std::fill(sum.begin(), sum.end(), 0.0);
    for (Int r = 0; r < s.rows; r++)
      for (int q = 0; q < (N + 1) * N; q++) sum[q] += parts[(b * s.rows + r) * (N + 1) * N + q];
    for (int t = 0; t < N; t++)
      for (int u = 0; u < N; u++)
        covariance[(b * N + t) * N + u] = sum[t * N + u] / n - sum[N * N + t] / n * (sum[N * N + u] / n);
  }
}

template <class T, int CIN, int P>
void first_forward(const T* x, const T* w, const T* scale, const T* shift, T* out, T* picked, uint8_t* which, T* mean,
                   T* rstd, double* variance, double* patch_mean, const Images& s, Int stride, double eps,
                   int threads) {
  constexpr int N = 9 * CIN, CELLS = SPOTS / (P * P);
  const Int C = s.channels, pixels = CIN * s.height * s.width, rows = rows_of(s), columns = columns_of(s);
  patch_means<T, CIN>(x, s, patch_mean, threads);
  std::vector<T> pivot(s.tasks * C), sign(s.tasks * C), gain(s.tasks * C);
  for (Int b = 0; b < s.tasks; b++)
    for (Int c = 0; c < C; c++) {
      const T v = scale[b * stride + c];
      double y = 0;
      for (int t = 0; t < N; t++) y += w[b * s.weight_stride + t * C + c] * patch_mean[b * N + t];
      pivot[b * C + c] = T(y);
      sign[b * C + c] = v > T(0) ? T(1) : v < T(0) ? T(-1) : T(0);
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
      gain[n] = T(scale[b * stride + c] / std::sqrt(var + eps));
    }
  everywhere(s, threads, [&](Int b, Int at) {
    lanes<T>(C, EACH
      const V z = HERE(&gain[b * C]) * (HERE(picked + at) - HERE(mean + b * C)) + HERE(shift + b * stride);
      store(out + at + c, z < V{} ? V{} : z);
    });
  });
}

// won [tasks, 9 CIN, channels] is P above; gw has the same shape.
template <class T, int CIN, int P>
void first_backward(const T* gp, const T* x, const T* w, const T* scale, const T* shift, const T* picked,
                    const uint8_t* which, const T* mean, const T* rstd, const double* patch_mean,
                    double* patch_covariance, T* won, T* gw, T* gscale, T* gshift, const Images& s, Int stride,
                    int threads) {
  constexpr int N = 9 * CIN;
  const Int C = s.channels, pixels = CIN * s.height * s.width, W = s.width + 2, plane = (s.height + 2) * W;
  std::vector<T> gain(s.tasks * C);
  for (Int n = 0; n < s.tasks * C; n++) gain[n] = scale[n / C * stride + n % C] * rstd[n];
  const Int size = (N + 2) * C;
  std::vector<T> parts(s.tasks * s.rows * size, T(0));
  patch_covariances<T, CIN>(x, s, patch_covariance, threads);
#pragma omp parallel for schedule(static) num_threads(threads)
  for (Int n = 0; n < s.tasks * s.rows; n++) {
    const Int b = n / s.rows, base = b * s.by_task + n % s.rows * s.by_row;
    std::vector<T> image;
    padded<T, CIN>(x + n * pixels, s, image);
    T* to = &parts[n * size];
    const auto line = room<typename Vector<T>::type>(s.wide * P * P * MANY);
    for (Int i = 0; i < s.tall; i++)
      strips<T>(C, [&](auto zero, auto many, Int c) {
        typedef decltype(zero) V;
        constexpr int L = sizeof(V) / sizeof(T), CELL = many * P * P;
        V* part = reinterpret_cast<V*>(line.get());
        for (int m = 0; m < many; m++) {
          const Int here = c + m * L;
          const V gn = load<V>(&gain[b * C + here]), mu = load<V>(mean + b * C + here),
                  sh = load<V>(shift + b * stride + here);
          V one{}, two{};
          for (Int j = 0; j < s.wide; j++) {
            const Int at = base + (i * s.wide + j) * s.by_pixel + here;
            const V off = load<V>(picked + at) - mu, z = gn * off + sh, g = z > V{} ? load<V>(gp + at) : V{};
            const V number = numbers<V>(which + at);
            one += g;
            two += g * off;
            for (int k = 0; k < P * P; k++)
              part[j * CELL + k * many + m] = P == 1 ? g : number == constant<V>(k) ? g : V{};
          }
          store(to + N * C + here, load<V>(to + N * C + here) + one);
          store(to + (N + 1) * C + here, load<V>(to + (N + 1) * C + here) + two);
        }
        const T* pixels = image.data() + i * P * s.step * W;
        const Int step = s.step, by_pixel = s.by_pixel, next = base + (i + 1) * s.wide * by_pixel + c;
        correlate<T, V, CIN, P * P, many>(
            W, plane, s.wide, [=](Int j, int k) { return pixels + (j * P + k / P * W + k % P) * step; },
            [=](Int j, int k, int m) {
              const Int at = next + j * by_pixel;
              if (k + m == 0) soon(picked + at), soon(gp + at), soon(which + at);
              return part[j * CELL + k * many + m];
            },
            to + c, C);
      });
  }
  std::vector<double> sum(size);
  for (Int b = 0; b < s.tasks; b++) {
    std::fill(sum.begin(), sum.end(), 0.0);
    for (Int r = 0; r < s.rows; r++)
      for (Int q = 0; q < size; q++) sum[q] += parts[(b * s.rows + r) * size + q];
    const double *m = patch_mean + b * N, *S = patch_covariance + b * N * N;
    for (Int c = 0; c < C; c++) {
      const double r = rstd[b * C + c], gb = sum[N * C + c], gg = r * sum[(N + 1) * C + c];
      gshift[b * C + c] = T(gb);
      gscale[b * C + c] = T(gg);
      for (int t = 0; t < N; t++) {
        double Sw = 0;
        for (int u = 0; u < N; u++) Sw += S[t * N + u] * w[b * s.weight_stride + u * C + c];
        won[(b * N + t) * C + c] = T(sum[t * C + c]);
        gw[(b * N + t) * C + c] = T(double(gain[b * C + c]) * (sum[t * C + c] - m[t] * gb - r * Sw * gg));
      }
    }
  }
}

template <class T, int CIN, int P>
void first_twice(const T* gp, const T* x, const T* w, const T* scale, const T* shift, const T* picked,
                 const uint8_t* which, const T* mean, const T* rstd, const double* patch_mean,
                 const double* patch_covariance, const T* won, const T* gscale, const T* gshift, const T* hw,
                 const T* hscale, const T* hshift, T* xgp, T* xw, T* xscale, const Images& s, Int stride,
                 int threads) {
  constexpr int N = 9 * CIN, CELLS = SPOTS / (P * P);
  const Int C = s.channels, pixels = CIN * s.height * s.width;
  std::vector<T> gain(s.tasks * C), e0(s.tasks * C), e1(s.tasks * C);
  for (Int n = 0; n < s.tasks * C; n++) gain[n] = scale[n / C * stride + n % C] * rstd[n];
  std::vector<double> parts(s.tasks * s.rows * C, 0.0);
#pragma omp parallel for schedule(static) num_threads(threads)
  for (Int n = 0; n < s.tasks * s.rows; n++) {
    const Int b = n / s.rows, base = b * s.by_task + n % s.rows * s.by_row;
    std::vector<T> image;
    padded<T, CIN>(x + n * pixels, s, image);
    const T* from = hw + b * s.weight_stride;
    strips<T>(C, [&](auto zero, auto many, Int c) {
      typedef decltype(zero) V;
      constexpr int L = sizeof(V) / sizeof(T);
      for (Int i = 0; i < s.tall; i++) {
        V sum[many] = {};
        const auto take = [&](const V* h, Int j, int m) {
          const Int here = c + m * L, at = base + (i * s.wide + j) * s.by_pixel + here, next = at + s.wide * s.by_pixel;
          if (m == 0) soon(picked + next), soon(gp + next), soon(which + next), soon<true>(xgp + next);
          const V number = numbers<V>(which + at);
          V along = h[0];
          for (int k = 1; k < P * P; k++) along = number == constant<V>(k) ? h[k] : along;
          const V off = load<V>(picked + at) - load<V>(mean + b * C + here),
                  z = load<V>(&gain[b * C + here]) * off + load<V>(shift + b * stride + here);
          sum[m] += z > V{} ? load<V>(gp + at) * along : V{};
          store(xgp + at, along);
        };
        Int j = 0;
        V h[many * CELLS * P * P];
        for (; j + CELLS <= s.wide; j += CELLS) {
          positions<T, V, CIN, P, CELLS, many>(image.data(), s, i, j, from + c, C, h);
          for (int q = 0; q < many * CELLS; q++) take(h + q * P * P, j + q % CELLS, q / CELLS);
        }
        for (; j < s.wide; j++) {
          positions<T, V, CIN, P, 1, many>(image.data(), s, i, j, from + c, C, h);
          for (int m = 0; m < many; m++) take(h + m * P * P, j, m);
        }
        for (int m = 0; m < many; m++)
          for (int q = 0; q < L; q++) parts[n * C + c + m * L + q] += sum[m][q];
      }
    });
  }
  for (Int b = 0; b < s.tasks; b++) {
    const double *m = patch_mean + b * N, *S = patch_covariance + b * N * N;
    for (Int c = 0; c < C; c++) {
      const Int n = b * C + c;
      double A = 0, hmean = 0, hSw = 0, Sh[N], Sw[N];
      for (Int r = 0; r < s.rows; r++) A += parts[(b * s.rows + r) * C + c];
      for (int t = 0; t < N; t++) {
        Sh[t] = Sw[t] = 0;
        for (int u = 0; u < N; u++) {
          Sh[t] += S[t * N + u] * hw[b * s.weight_stride + u * C + c];
          Sw[t] += S[t * N + u] * w[b * s.weight_stride + u * C + c];
        }
        const double along = hw[b * s.weight_stride + t * C + c];
        hmean += m[t] * along;
        hSw += along * Sw[t];
      }
      const double r = rstd[n], k = double(scale[b * stride + c]) * r, gg = gscale[n], gb = gshift[n], hg = hscale[n],
                   q = r * hSw, inside = A - gb * hmean - gg * q;
      xscale[n] = T(r * inside);
      e0[n] = T(hshift[n] - k * hmean);
      e1[n] = T(r * (hg - k * q));
      // the second derivative's maps, c2 h + c1 (y - mean) + c0 and the winners' part, times the patches
      const double c2 = -k * r * gg, c1 = -r * r * (hg * gg - 2 * k * gg * q + k * inside),
                   c0 = -r * (hg * gb - k * (gb * q + gg * hmean));
      for (int t = 0; t < N; t++)
        xw[(b * N + t) * C + c] = T(r * (hg - k * q) * won[(b * N + t) * C + c] + c2 * (Sh[t] + m[t] * hmean) +
                                    c1 * Sw[t] + c0 * m[t]);
    }
  }
  everywhere(s, threads, [&](Int b, Int at) {
    lanes<T>(C, EACH
      const V off = HERE(picked + at) - HERE(mean + b * C), gn = HERE(&gain[b * C]);
      const V t = gn * HERE(xgp + at) + HERE(&e1[b * C]) * off + HERE(&e0[b * C]);
      store(xgp + at + c, gn * off + HERE(shift + b * stride) > V{} ? t : V{});
    });
  });
}

}  // namespace
