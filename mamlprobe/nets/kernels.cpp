// The dense passes of the convolutional block on a CPU; block.py has the formulas and the same in torch.
//
// Maps are y [groups, rows, height, width, channels], channels innermost. A group and channel is normalised together:
// count = rows * height * width values. A cell is what one output value sees: P x P positions (P = 2 pools, 1 does
// not); positions that no cell covers (odd sizes) count for the statistics alone. With FIRST the ReLU, of y + bias,
// comes before the norm. Sums are taken along rows of cells in T and carried on in double, in an order that does not
// depend on the number of threads.
#include <algorithm>
#include <cmath>
#include <cstdint>
#include <cstring>
#include <vector>

typedef int64_t Int;

namespace {

#if defined(__AVX512F__)
constexpr int WIDE = 64;
#elif defined(__AVX__)
constexpr int WIDE = 32;
#else
constexpr int WIDE = 16;
#endif
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

// Calls body(V, channel) for whole vectors of channels, then for the rest one by one.
template <class T, class Body>
inline void lanes(Int channels, const Body& body) {
  typedef T One __attribute__((vector_size(sizeof(T))));
  constexpr int L = Vector<T>::lanes;
  Int c = 0;
  for (; c + L <= channels; c += L) body(typename Vector<T>::type{}, c);
  for (; c < channels; c++) body(One{}, c);
}

struct Shape {
  Int groups, rows, height, width, channels;
};

// Splits images into bands of cell rows, calls body(band number, group, image, first row, end row) for each.
template <int P, class Body>
void bands(const Shape& s, int threads, Int each, const Body& body) {
  const Int images = s.groups * s.rows, tall = s.height / P;
#pragma omp parallel for schedule(static) num_threads(threads)
  for (Int n = 0; n < images * each; n++) {
    const Int image = n / each, band = n % each;
    body(n, image / s.rows, image, tall * band / each, tall * (band + 1) / each);
  }
}

template <int P>
Int bands_of(const Shape& s) {
  return std::max<Int>(1, std::min<Int>(s.height / P, 16 / (s.groups * s.rows)));
}

// Visits a band: cell(positions, output offset), rest(position) for what no cell covers, line() after each row.
// Positions are offsets into the whole y.
template <int P, class Cell, class Rest, class Line>
void visit(const Shape& s, Int image, Int first, Int end, const Cell& cell, const Rest& rest, const Line& line) {
  const Int C = s.channels, W = s.width, wide = W / P, tall = s.height / P, start = image * s.height * W * C;
  for (Int i = first; i < end; i++) {
    Int at[P * P];
    for (Int j = 0; j < wide; j++) {
      for (int k = 0; k < P * P; k++) at[k] = start + ((i * P + k / P) * W + j * P + k % P) * C;
      cell(at, ((image * tall + i) * wide + j) * C);
    }
    for (int k = 0; k < P; k++)
      for (Int j = wide * P; j < W; j++) rest(start + ((i * P + k) * W + j) * C);
    line();
  }
  if (end == tall)
    for (Int i = tall * P; i < s.height; i++) {
      for (Int j = 0; j < W; j++) rest(start + (i * W + j) * C);
      line();
    }
}

template <class V, bool FIRST>
inline V activity(V y, V bias) {
  if (!FIRST) return y;
  const V v = y + bias;
  return v < V{} ? V{} : v;
}

template <class V>
inline V constant(int k) {
  return V{} + decltype(V{}[0] + V{}[0])(k);
}

// The position among the P x P whose signed activity is largest, the first of equals, and that activity.
template <class V, int P>
inline V winner(const V* s, V sign, V& which) {
  V best = s[0], key = sign * s[0];
  which = V{};
  for (int k = 1; k < P * P; k++) {
    const V other = sign * s[k];
    const auto more = other > key;
    key = more ? other : key;
    best = more ? s[k] : best;
    which = more ? constant<V>(k) : which;
  }
  return best;
}

// The same, and the gradient that the ReLU after the norm lets through there.
template <class V, int P, bool FIRST>
inline V chosen(const V* v, V sign, V gain, V mu, V offset, V gradient, V& best, V& which) {
  best = winner<V, P>(v, sign, which);
  const V z = gain * (best - mu) + offset;
  return FIRST ? gradient : z > V{} ? gradient : V{};
}

// Adds the bands' sums [bands, K, channels] of each group, in order.
void gather(const std::vector<double>& parts, const Shape& s, Int each, int K, std::vector<double>& sums) {
  const Int block = K * s.channels, per_group = s.rows * each;
  sums.assign(s.groups * block, 0.0);
  for (Int g = 0; g < s.groups; g++)
    for (Int n = 0; n < per_group; n++)
      for (Int c = 0; c < block; c++) sums[g * block + c] += parts[(g * per_group + n) * block + c];
}

template <class T>
struct Line {  // running sums of one row of cells, flushed into doubles
  std::vector<T> now;
  double* into;
  Line(Int size, double* into) : now(size, T(0)), into(into) {}
  T* at(Int offset) { return now.data() + offset; }
  void flush() {
    const Int n = now.size();
    for (Int c = 0; c < n; c++) {
      into[c] += now[c];
      now[c] = T(0);
    }
  }
};

// Signs of the scales and scale * r, by group and channel.
template <class T>
struct Gains {
  std::vector<T> sign, gain;
  Gains(const T* scale, const T* rstd, const Shape& s, Int stride)
      : sign(s.groups * s.channels), gain(s.groups * s.channels) {
    for (Int n = 0; n < s.groups * s.channels; n++) {
      const T v = scale[n / s.channels * stride + n % s.channels];
      sign[n] = v > T(0) ? T(1) : v < T(0) ? T(-1) : T(0);
      gain[n] = rstd ? v * rstd[n] : T(0);
    }
  }
};

#define HERE(pointer) load<V>((pointer) + c)
#define EACH [&](auto zero, Int c) { typedef decltype(zero) V;

template <class T, int P, bool FIRST>
void forward(const T* y, const T* bias, const T* scale, const T* shift, T* out, T* mean, T* rstd, double* variance,
             const Shape& s, Int stride, double eps, int threads) {
  const Int C = s.channels, each = bands_of<P>(s);
  const double count = double(s.rows) * s.height * s.width;
  const Gains<T> k(scale, nullptr, s, stride);
  std::vector<T> pivot(s.groups * C);  // sums are of the distance to the group's first value: no cancellation
  for (Int n = 0; n < s.groups * C; n++) {
    const T v = y[n / C * s.rows * s.height * s.width * C + n % C] + (FIRST ? bias[n / C * stride + n % C] : T(0));
    pivot[n] = FIRST && v < T(0) ? T(0) : v;
  }
  std::vector<double> parts(s.groups * s.rows * each * 2 * C, 0.0), sums;
  bands<P>(s, threads, each, [&](Int n, Int g, Int image, Int first, Int end) {
    Line<T> line(2 * C, &parts[n * 2 * C]);
    T *one = line.at(0), *two = line.at(C);
    const T *sign = &k.sign[g * C], *pv = &pivot[g * C], *bs = bias + g * stride;
    const auto cell = [=](const Int* at, Int to) {
      lanes<T>(C, EACH
        V v[P * P], which, d1{}, d2{};
        for (int p = 0; p < P * P; p++) {
          v[p] = activity<V, FIRST>(HERE(y + at[p]), HERE(bs));
          const V d = v[p] - HERE(pv);
          d1 += d;
          d2 += d * d;
        }
        store(out + to + c, winner<V, P>(v, HERE(sign), which));
        store(one + c, HERE(one) + d1);
        store(two + c, HERE(two) + d2);
      });
    };
    const auto rest = [=](Int at) {
      lanes<T>(C, EACH
        const V d = activity<V, FIRST>(HERE(y + at), HERE(bs)) - HERE(pv);
        store(one + c, HERE(one) + d);
        store(two + c, HERE(two) + d * d);
      });
    };
    visit<P>(s, image, first, end, cell, rest, [&] { line.flush(); });
  });
  gather(parts, s, each, 2, sums);
  std::vector<T> gain(s.groups * C);
  for (Int g = 0; g < s.groups; g++)
    for (Int c = 0; c < C; c++) {
      const Int n = g * C + c;
      const double d = sums[g * 2 * C + c] / count, square = sums[g * 2 * C + C + c] / count - d * d;
      const double var = square < 0 ? 0 : square, r = 1 / std::sqrt(var + eps);
      mean[n] = T(pivot[n] + d);
      rstd[n] = T(r);
      variance[n] = var;
      gain[n] = T(scale[g * stride + c] * r);
    }
  const Int cells = s.rows * (s.height / P) * (s.width / P);
#pragma omp parallel for schedule(static) num_threads(threads)
  for (Int q = 0; q < s.groups * cells; q++) {
    T* o = out + q * C;
    const T *gn = &gain[q / cells * C], *mu = mean + q / cells * C, *sh = shift + q / cells * stride;
    lanes<T>(C, EACH
      const V z = HERE(gn) * (HERE(o) - HERE(mu)) + HERE(sh);
      store(o + c, FIRST ? z : z < V{} ? V{} : z);
    });
  }
}

template <class T, int P, bool FIRST>
void backward(const T* gp, const T* y, const T* bias, const T* scale, const T* shift, const T* mean, const T* rstd,
              T* gy, T* gbias, T* gscale, T* gshift, const Shape& s, Int stride, int threads) {
  const Int C = s.channels, each = bands_of<P>(s);
  const double count = double(s.rows) * s.height * s.width;
  const Gains<T> k(scale, rstd, s, stride);
  std::vector<double> parts(s.groups * s.rows * each * 2 * C, 0.0), sums;
  bands<P>(s, threads, each, [&](Int n, Int g, Int image, Int first, Int end) {
    Line<T> line(2 * C, &parts[n * 2 * C]);
    T *one = line.at(0), *two = line.at(C);
    const T *sign = &k.sign[g * C], *gain = &k.gain[g * C], *mu = mean + g * C, *bs = bias + g * stride,
            *sh = shift + g * stride;
    const auto cell = [=](const Int* at, Int to) {
      lanes<T>(C, EACH
        V v[P * P], best, which;
        for (int p = 0; p < P * P; p++) v[p] = activity<V, FIRST>(HERE(y + at[p]), HERE(bs));
        const V gz = chosen<V, P, FIRST>(v, HERE(sign), HERE(gain), HERE(mu), HERE(sh), HERE(gp + to), best, which);
        store(one + c, HERE(one) + gz);
        store(two + c, HERE(two) + gz * (best - HERE(mu)));
      });
    };
    visit<P>(s, image, first, end, cell, [](Int) {}, [&] { line.flush(); });
  });
  gather(parts, s, each, 2, sums);
  std::vector<T> c0(s.groups * C), c1(s.groups * C);
  for (Int g = 0; g < s.groups; g++)
    for (Int c = 0; c < C; c++) {
      const Int n = g * C + c;
      const double r = rstd[n], gb = sums[g * 2 * C + c], gg = sums[g * 2 * C + C + c] * r;
      gshift[n] = T(gb);
      gscale[n] = T(gg);
      c0[n] = T(-double(k.gain[n]) * gb / count);
      c1[n] = T(-double(k.gain[n]) * r * gg / count);
    }
  parts.assign(FIRST ? s.groups * s.rows * each * C : 0, 0.0);
  bands<P>(s, threads, each, [&](Int n, Int g, Int image, Int first, Int end) {
    Line<T> line(FIRST ? C : 0, FIRST ? &parts[n * C] : nullptr);
    T* total = line.at(0);
    const T *sign = &k.sign[g * C], *gain = &k.gain[g * C], *mu = mean + g * C, *bs = bias + g * stride,
            *sh = shift + g * stride, *a0 = &c0[g * C], *a1 = &c1[g * C];
    const auto cell = [=](const Int* at, Int to) {
      lanes<T>(C, EACH
        V v[P * P], best, which;
        for (int p = 0; p < P * P; p++) v[p] = activity<V, FIRST>(HERE(y + at[p]), HERE(bs));
        const V gz = HERE(gain) *
            chosen<V, P, FIRST>(v, HERE(sign), HERE(gain), HERE(mu), HERE(sh), HERE(gp + to), best, which);
        for (int p = 0; p < P * P; p++) {
          V x = HERE(a1) * (v[p] - HERE(mu)) + HERE(a0) + (which == constant<V>(p) ? gz : V{});
          if (FIRST) {
            x = v[p] > V{} ? x : V{};
            store(total + c, HERE(total) + x);
          }
          store(gy + at[p] + c, x);
        }
      });
    };
    const auto rest = [=](Int at) {
      lanes<T>(C, EACH
        const V v = activity<V, FIRST>(HERE(y + at), HERE(bs));
        V x = HERE(a1) * (v - HERE(mu)) + HERE(a0);
        if (FIRST) {
          x = v > V{} ? x : V{};
          store(total + c, HERE(total) + x);
        }
        store(gy + at + c, x);
      });
    };
    visit<P>(s, image, first, end, cell, rest, [&] { line.flush(); });
  });
  if (FIRST) {
    gather(parts, s, each, 1, sums);
    for (Int n = 0; n < s.groups * C; n++) gbias[n] = T(sums[n]);
  }
}

template <class T, int P, bool FIRST>
void twice(const T* gp, const T* y, const T* bias, const T* scale, const T* shift, const T* mean, const T* rstd,
           const T* gscale, const T* gshift, const T* hy, const T* hbias, const T* hscale, const T* hshift, T* xgp,
           T* xy, T* xbias, T* xscale, const Shape& s, Int stride, int threads) {
  const Int C = s.channels, each = bands_of<P>(s);
  const double count = double(s.rows) * s.height * s.width;
  const Gains<T> k(scale, rstd, s, stride);
  std::vector<double> parts(s.groups * s.rows * each * 3 * C, 0.0), sums;
  bands<P>(s, threads, each, [&](Int n, Int g, Int image, Int first, Int end) {
    Line<T> line(3 * C, &parts[n * 3 * C]);
    T *one = line.at(0), *two = line.at(C), *three = line.at(2 * C);
    const T *sign = &k.sign[g * C], *gain = &k.gain[g * C], *mu = mean + g * C, *bs = bias + g * stride,
            *sh = shift + g * stride, *hb = hbias + g * C;
    const auto cell = [=](const Int* at, Int to) {
      lanes<T>(C, EACH
        V v[P * P], best, which, picked{}, d1{}, d2{};
        for (int p = 0; p < P * P; p++) v[p] = activity<V, FIRST>(HERE(y + at[p]), HERE(bs));
        const V gz = chosen<V, P, FIRST>(v, HERE(sign), HERE(gain), HERE(mu), HERE(sh), HERE(gp + to), best, which);
        for (int p = 0; p < P * P; p++) {
          V h = HERE(hy + at[p]);
          if (FIRST) h = v[p] > V{} ? h + HERE(hb) : V{};
          d1 += h;
          d2 += h * (v[p] - HERE(mu));
          picked = which == constant<V>(p) ? h : picked;
        }
        store(one + c, HERE(one) + d1);
        store(two + c, HERE(two) + d2);
        store(three + c, HERE(three) + gz * picked);
      });
    };
    const auto rest = [=](Int at) {
      lanes<T>(C, EACH
        const V v = activity<V, FIRST>(HERE(y + at), HERE(bs));
        V h = HERE(hy + at);
        if (FIRST) h = v > V{} ? h + HERE(hb) : V{};
        store(one + c, HERE(one) + h);
        store(two + c, HERE(two) + h * (v - HERE(mu)));
      });
    };
    visit<P>(s, image, first, end, cell, rest, [&] { line.flush(); });
  });
  gather(parts, s, each, 3, sums);
  std::vector<T> c0(s.groups * C), c1(s.groups * C), c2(s.groups * C), h0(s.groups * C), h1(s.groups * C);
  for (Int g = 0; g < s.groups; g++)
    for (Int c = 0; c < C; c++) {
      const Int n = g * C + c;
      const double r = rstd[n], gain = double(scale[g * stride + c]) * r, gg = gscale[n], gb = gshift[n],
                   hg = hscale[n], hmean = sums[g * 3 * C + c] / count, q = r * sums[g * 3 * C + C + c] / count,
                   inside = sums[g * 3 * C + 2 * C + c] - gb * hmean - gg * q;
      xscale[n] = T(r * inside);
      h0[n] = T(hshift[n] - gain * hmean);
      h1[n] = T(r * (hg - gain * q));
      c2[n] = T(-gain * r * gg / count);
      c1[n] = T(-r * r / count * (hg * gg - 2 * gain * gg * q + gain * inside));
      c0[n] = T(-r / count * (hg * gb - gain * (gb * q + gg * hmean)));
    }
  parts.assign(FIRST ? s.groups * s.rows * each * C : 0, 0.0);
  bands<P>(s, threads, each, [&](Int n, Int g, Int image, Int first, Int end) {
    Line<T> line(FIRST ? C : 0, FIRST ? &parts[n * C] : nullptr);
    T* total = line.at(0);
    const T *sign = &k.sign[g * C], *gain = &k.gain[g * C], *mu = mean + g * C, *bs = bias + g * stride,
            *sh = shift + g * stride, *hb = hbias + g * C, *d0 = &c0[g * C], *d1 = &c1[g * C], *d2 = &c2[g * C],
            *e0 = &h0[g * C], *e1 = &h1[g * C];
    const auto cell = [=](const Int* at, Int to) {
      lanes<T>(C, EACH
        V v[P * P], best, which, picked{};
        for (int p = 0; p < P * P; p++) v[p] = activity<V, FIRST>(HERE(y + at[p]), HERE(bs));
        const V gz = HERE(e1) *
            chosen<V, P, FIRST>(v, HERE(sign), HERE(gain), HERE(mu), HERE(sh), HERE(gp + to), best, which);
        for (int p = 0; p < P * P; p++) {
          V h = HERE(hy + at[p]);
          if (FIRST) h = v[p] > V{} ? h + HERE(hb) : V{};
          V x = HERE(d2) * h + HERE(d1) * (v[p] - HERE(mu)) + HERE(d0) + (which == constant<V>(p) ? gz : V{});
          picked = which == constant<V>(p) ? h : picked;
          if (FIRST) {
            x = v[p] > V{} ? x : V{};
            store(total + c, HERE(total) + x);
          }
          store(xy + at[p] + c, x);
        }
        const V t = HERE(gain) * picked + HERE(e1) * (best - HERE(mu)) + HERE(e0);
        const V z = HERE(gain) * (best - HERE(mu)) + HERE(sh);
        store(xgp + to + c, FIRST ? t : z > V{} ? t : V{});
      });
    };
    const auto rest = [=](Int at) {
      lanes<T>(C, EACH
        const V v = activity<V, FIRST>(HERE(y + at), HERE(bs));
        V h = HERE(hy + at);
        if (FIRST) h = v > V{} ? h + HERE(hb) : V{};
        V x = HERE(d2) * h + HERE(d1) * (v - HERE(mu)) + HERE(d0);
        if (FIRST) {
          x = v > V{} ? x : V{};
          store(total + c, HERE(total) + x);
        }
        store(xy + at + c, x);
      });
    };
    visit<P>(s, image, first, end, cell, rest, [&] { line.flush(); });
  });
  if (FIRST) {
    gather(parts, s, each, 1, sums);
    for (Int n = 0; n < s.groups * C; n++) xbias[n] = T(sums[n]);
  }
}

// ---- the first convolution: few input channels, whose own gradient nobody asks for ----

struct Images {  // x [tasks, rows, CIN, height, width]; y [..., tall, wide, channels] with these strides
  Int tasks, rows, height, width, step, tall, wide, channels, by_task, by_row, by_pixel, weight_stride;
};

template <class T, int CIN>
void padded(const T* x, const Images& s, std::vector<T>& into) {
  const Int W = s.width + 2;
  into.assign(CIN * (s.height + 2) * W, T(0));
  for (int c = 0; c < CIN; c++)
    for (Int i = 0; i < s.height; i++)
      std::memcpy(&into[(c * (s.height + 2) + i + 1) * W + 1], x + (c * s.height + i) * s.width, s.width * sizeof(T));
}

template <class T, class V, int CIN, int PIXELS>
inline void taps(const T* x, const Images& s, Int i, Int j, const T* w, Int C, T* y) {
  const Int W = s.width + 2, plane = (s.height + 2) * W;
  V sum[PIXELS];
  for (int p = 0; p < PIXELS; p++) sum[p] = V{} ;
  for (int c = 0; c < CIN; c++)
    for (int a = 0; a < 3; a++)
      for (int b = 0; b < 3; b++) {
        const V weight = load<V>(w + ((c * 3 + a) * 3 + b) * C);
        const T* from = x + c * plane + (i * s.step + a) * W + j * s.step + b;
        for (int p = 0; p < PIXELS; p++) sum[p] += from[p * s.step] * weight;
      }
  for (int p = 0; p < PIXELS; p++) store(y + p * s.by_pixel, sum[p]);
}

template <class T, int CIN>
void first_conv(const T* x, const T* w, T* y, const Images& s, int threads) {
  typedef typename Vector<T>::type V;
  constexpr int L = Vector<T>::lanes;
  typedef T One __attribute__((vector_size(sizeof(T))));
  const Int C = s.channels;
#pragma omp parallel for schedule(static) num_threads(threads)
  for (Int n = 0; n < s.tasks * s.rows; n++) {
    std::vector<T> image;
    padded<T, CIN>(x + n * CIN * s.height * s.width, s, image);
    const T* weights = w + n / s.rows * s.weight_stride;
    T* out = y + n / s.rows * s.by_task + n % s.rows * s.by_row;
    for (Int i = 0; i < s.tall; i++)
      for (Int c = 0; c < C;) {
        const bool whole = c + L <= C;
        Int j = 0;
        T* line = out + i * s.wide * s.by_pixel + c;
        for (; j + 8 <= s.wide; j += 8)
          whole ? taps<T, V, CIN, 8>(image.data(), s, i, j, weights + c, C, line + j * s.by_pixel)
                : taps<T, One, CIN, 8>(image.data(), s, i, j, weights + c, C, line + j * s.by_pixel);
        for (; j < s.wide; j++)
          whole ? taps<T, V, CIN, 1>(image.data(), s, i, j, weights + c, C, line + j * s.by_pixel)
                : taps<T, One, CIN, 1>(image.data(), s, i, j, weights + c, C, line + j * s.by_pixel);
        c += whole ? L : 1;
      }
  }
}

template <class T, class V, int CIN>
inline void correlate(const T* x, const Images& s, Int i, const T* gy, T* gw) {
  const Int W = s.width + 2, plane = (s.height + 2) * W, C = s.channels;
  V sum[9 * CIN];
#pragma GCC unroll 27
  for (int t = 0; t < 9 * CIN; t++) sum[t] = load<V>(gw + t * C);
  for (Int j = 0; j < s.wide; j++) {
    const V g = load<V>(gy + j * s.by_pixel);
#pragma GCC unroll 27
    for (int t = 0; t < 9 * CIN; t++)
      sum[t] += x[t / 9 * plane + (i * s.step + t / 3 % 3) * W + j * s.step + t % 3] * g;
  }
#pragma GCC unroll 27
  for (int t = 0; t < 9 * CIN; t++) store(gw + t * C, sum[t]);
}

template <class T, int CIN>
void first_conv_weight(const T* x, const T* gy, T* gw, const Images& s, int threads) {
  typedef typename Vector<T>::type V;
  constexpr int L = Vector<T>::lanes;
  typedef T One __attribute__((vector_size(sizeof(T))));
  const Int C = s.channels, size = 9 * CIN * C;
  std::vector<T> parts(s.tasks * s.rows * size, T(0));
#pragma omp parallel for schedule(static) num_threads(threads)
  for (Int n = 0; n < s.tasks * s.rows; n++) {
    std::vector<T> image;
    padded<T, CIN>(x + n * CIN * s.height * s.width, s, image);
    const T* from = gy + n / s.rows * s.by_task + n % s.rows * s.by_row;
    for (Int i = 0; i < s.tall; i++)
      for (Int c = 0; c < C;) {
        const bool whole = c + L <= C;
        const T* line = from + i * s.wide * s.by_pixel + c;
        whole ? correlate<T, V, CIN>(image.data(), s, i, line, &parts[n * size + c])
              : correlate<T, One, CIN>(image.data(), s, i, line, &parts[n * size + c]);
        c += whole ? L : 1;
      }
  }
  std::vector<double> sum(size);
  for (Int b = 0; b < s.tasks; b++) {
    std::fill(sum.begin(), sum.end(), 0.0);
    for (Int r = 0; r < s.rows; r++)
      for (Int t = 0; t < size; t++) sum[t] += parts[(b * s.rows + r) * size + t];
    for (Int t = 0; t < size; t++) gw[b * size + t] = T(sum[t]);
  }
}

#include "winograd.h"

}  // namespace

// One entry a pass and precision. `kind` is 2 * (pooling) + (ReLU first).
#define BLOCK(NAME, T, PARAMETERS, ARGUMENTS, INNER)                                  \
  extern "C" void NAME PARAMETERS {                                                   \
    const Shape s{groups, rows, height, width, channels};                            \
    if (kind == 0) INNER<T, 1, false> ARGUMENTS;                                      \
    if (kind == 1) INNER<T, 1, true> ARGUMENTS;                                       \
    if (kind == 2) INNER<T, 2, false> ARGUMENTS;                                      \
    if (kind == 3) INNER<T, 2, true> ARGUMENTS;                                       \
  }
#define TAIL Int groups, Int rows, Int height, Int width, Int channels, Int stride, Int kind, Int threads
#define EVERY(T, END)                                                                                              \
  BLOCK(forward_##END, T,                                                                                          \
        (const T* y, const T* bias, const T* scale, const T* shift, T* out, T* mean, T* rstd, double* variance,    \
         double eps, TAIL),                                                                                        \
        (y, bias, scale, shift, out, mean, rstd, variance, s, stride, eps, threads), forward)                      \
  BLOCK(backward_##END, T,                                                                                         \
        (const T* gp, const T* y, const T* bias, const T* scale, const T* shift, const T* mean, const T* rstd,     \
         T* gy, T* gbias, T* gscale, T* gshift, TAIL),                                                             \
        (gp, y, bias, scale, shift, mean, rstd, gy, gbias, gscale, gshift, s, stride, threads), backward)          \
  BLOCK(twice_##END, T,                                                                                            \
        (const T* gp, const T* y, const T* bias, const T* scale, const T* shift, const T* mean, const T* rstd,     \
         const T* gscale, const T* gshift, const T* hy, const T* hbias, const T* hscale, const T* hshift, T* xgp,  \
         T* xy, T* xbias, T* xscale, TAIL),                                                                        \
        (gp, y, bias, scale, shift, mean, rstd, gscale, gshift, hy, hbias, hscale, hshift, xgp, xy, xbias, xscale, \
         s, stride, threads),                                                                                      \
        twice)                                                                                                     \
  extern "C" void first_conv_##END(const T* x, const T* w, T* y, const Int* n, Int colours, Int threads) {         \
    const Images s{n[0], n[1], n[2], n[3], n[4], n[5], n[6], n[7], n[8], n[9], n[10], n[11]};                      \
    colours == 1 ? first_conv<T, 1>(x, w, y, s, threads) : first_conv<T, 3>(x, w, y, s, threads);                  \
  }                                                                                                                \
  extern "C" void first_conv_weight_##END(const T* x, const T* gy, T* gw, const Int* n, Int colours,               \
                                          Int threads) {                                                           \
    const Images s{n[0], n[1], n[2], n[3], n[4], n[5], n[6], n[7], n[8], n[9], n[10], n[11]};                      \
    colours == 1 ? first_conv_weight<T, 1>(x, gy, gw, s, threads)                                                  \
                 : first_conv_weight<T, 3>(x, gy, gw, s, threads);                                                 \
  }
#define WINOGRAD(T, END)                                                                                             \
  extern "C" void conv_##END(const T* x, const T* w, const T* x2, const T* w2, T* y, const Int* n, Int pairs,        \
                             Int turned, Int threads) {                                                              \
    const T *maps[2] = {x, x2}, *by[2] = {w, w2};                                                                    \
    winograd<T>(maps, by, int(pairs), y, {n[0], n[1], n[2], n[3], n[4], n[5], n[6], n[7], n[8], n[9]}, turned,       \
                int(threads));                                                                                       \
  }                                                                                                                  \
  extern "C" void conv_weight_##END(const T* x, const T* gy, T* gw, const Int* n, Int threads) {                     \
    winograd_weight<T>(x, gy, gw, {n[0], n[1], n[2], n[3], n[4], n[5], n[6], n[7], n[8], n[9]}, int(threads));       \
  }
WINOGRAD(float, f32)
WINOGRAD(double, f64)
EVERY(float, f32)
EVERY(double, f64)
