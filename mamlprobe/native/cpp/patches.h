// The patches of images, 3 x 3 values a colour: their mean and covariance over all positions of a task.
#pragma once
#include "images.h"
#include "product.h"

namespace {

// Rows and columns of positions.
inline Int rows_of(const ImageShape& s) { return (s.height - 1) / s.step + 1; }
inline Int columns_of(const ImageShape& s) { return (s.width - 1) / s.step + 1; }
inline double count_of(const ImageShape& s) { return double(s.rows) * rows_of(s) * columns_of(s); }

// Mean [tasks, 9 CIN] of the patches.
template <class T, int CIN>
void patch_means(const T* x, const ImageShape& s, double* mean, int threads) {
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
void patch_covariances(const T* x, const ImageShape& s, double* covariance, int threads) {
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

}  // namespace
