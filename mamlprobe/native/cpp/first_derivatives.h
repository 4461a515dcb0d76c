// The first and the second derivative of the first block.
#pragma once
#include "first.h"

namespace {

// won [tasks, 9 CIN, channels] is the P of `first.h`; gtaps has the same shape.
template <class T, int CIN, int P>
void first_backward_of(const FirstSaved<T>& saved, const T* gp, const FirstBackwardResult<T>& made, const ImageShape& s,
                       int threads) {
  constexpr int N = 9 * CIN;
  const Int C = s.channels, pixels = CIN * s.height * s.width, W = s.width + 2, plane = (s.height + 2) * W;
  const T *x = saved.x, *w = saved.taps, *shift = saved.shift, *picked = saved.picked, *mean = saved.mean;
  const uint8_t* which = saved.which;
  std::vector<T> gain(s.tasks * C);
  for (Int n = 0; n < s.tasks * C; n++) gain[n] = saved.scale[n / C * s.stride + n % C] * saved.rstd[n];
  const Int size = (N + 2) * C;
  std::vector<T> parts(s.tasks * s.rows * size, T(0));
  patch_covariances<T, CIN>(x, s, made.covariance, threads);
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
                  sh = load<V>(shift + b * s.stride + here);
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
    const double *m = saved.patch_mean + b * N, *S = made.covariance + b * N * N;
    for (Int c = 0; c < C; c++) {
      const double r = saved.rstd[b * C + c], gb = sum[N * C + c], gg = r * sum[(N + 1) * C + c];
      made.gshift[b * C + c] = T(gb);
      made.gscale[b * C + c] = T(gg);
      for (int t = 0; t < N; t++) {
        double Sw = 0;
        for (int u = 0; u < N; u++) Sw += S[t * N + u] * w[b * s.weight_stride + u * C + c];
        made.won[(b * N + t) * C + c] = T(sum[t * C + c]);
        made.gtaps[(b * N + t) * C + c] =
            T(double(gain[b * C + c]) * (sum[t * C + c] - m[t] * gb - r * Sw * gg));
      }
    }
  }
}

template <class T, int CIN, int P>
void first_double_backward_of(const FirstSaved<T>& saved, const FirstGradients<T>& gradients,
                              const FirstDirections<T>& directions, const FirstDoubleBackwardResult<T>& made,
                              const ImageShape& s, int threads) {
  constexpr int N = 9 * CIN, CELLS = SPOTS / (P * P);
  const Int C = s.channels, pixels = CIN * s.height * s.width;
  const T *x = saved.x, *w = saved.taps, *shift = saved.shift, *picked = saved.picked, *mean = saved.mean,
          *gp = gradients.gp, *hw = directions.htaps;
  const uint8_t* which = saved.which;
  T* xgp = made.xgp;
  std::vector<T> gain(s.tasks * C), e0(s.tasks * C), e1(s.tasks * C);
  for (Int n = 0; n < s.tasks * C; n++) gain[n] = saved.scale[n / C * s.stride + n % C] * saved.rstd[n];
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
                  z = load<V>(&gain[b * C + here]) * off + load<V>(shift + b * s.stride + here);
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
    const double *m = saved.patch_mean + b * N, *S = gradients.covariance + b * N * N;
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
      const double r = saved.rstd[n], k = double(saved.scale[b * s.stride + c]) * r, gg = gradients.gscale[n],
                   gb = gradients.gshift[n], hg = directions.hscale[n], q = r * hSw, inside = A - gb * hmean - gg * q;
      made.xscale[n] = T(r * inside);
      e0[n] = T(directions.hshift[n] - k * hmean);
      e1[n] = T(r * (hg - k * q));
      // the second derivative's maps, c2 h + c1 (y - mean) + c0 and the winners' part, times the patches
      const double c2 = -k * r * gg, c1 = -r * r * (hg * gg - 2 * k * gg * q + k * inside),
                   c0 = -r * (hg * gb - k * (gb * q + gg * hmean));
      for (int t = 0; t < N; t++)
        made.xtaps[(b * N + t) * C + c] = T(r * (hg - k * q) * gradients.won[(b * N + t) * C + c] +
                                            c2 * (Sh[t] + m[t] * hmean) + c1 * Sw[t] + c0 * m[t]);
    }
  }
  everywhere(s, threads, [&](Int b, Int at) {
    lanes<T>(C, [&](auto zero, Int c) {
      typedef decltype(zero) V;
      const V off = load<V>(picked + at + c) - load<V>(mean + b * C + c), gn = load<V>(&gain[b * C] + c);
      const V t = gn * load<V>(xgp + at + c) + load<V>(&e1[b * C] + c) * off + load<V>(&e0[b * C] + c);
      store(xgp + at + c, gn * off + load<V>(shift + b * s.stride + c) > V{} ? t : V{});
    });
  });
}

// Computes the gradients of taps, scale and shift from that of the outputs, and what the second derivative needs.
template <class T>
void first_backward(const FirstSaved<T>& saved, const T* gp, const FirstBackwardResult<T>& made, const ImageShape& s,
                    int threads) {
  by_colours_and_pool(s, [&](auto colours, auto pool) {
    first_backward_of<T, colours, pool>(saved, gp, made, s, threads);
  });
}

// Computes the derivatives of <directions, first_backward>.
template <class T>
void first_double_backward(const FirstSaved<T>& saved, const FirstGradients<T>& gradients,
                           const FirstDirections<T>& directions, const FirstDoubleBackwardResult<T>& made,
                           const ImageShape& s, int threads) {
  by_colours_and_pool(s, [&](auto colours, auto pool) {
    first_double_backward_of<T, colours, pool>(saved, gradients, directions, made, s, threads);
  });
}

}  // namespace
