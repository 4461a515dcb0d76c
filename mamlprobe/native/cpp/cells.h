// Norm, ReLU and pooling of a block; cells.py has the formulas and the same in torch.
//
// Maps are y [groups, rows, height, width, channels], channels innermost. A group and channel is normalised together:
// count = rows * height * width values. A cell is what one output value sees: P x P positions (P = 2 pools, 1 does
// not); positions that no cell covers (odd sizes) count for the statistics alone. With FIRST the ReLU, of y + bias,
// comes before the norm. Sums are taken along rows of cells in T and carried on in double, in an order that does not
// depend on the number of threads.
#pragma once
#include "vectors.h"

namespace {

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

// y, or relu(y + bias); what is no further above 0 than `margin` is 0: see `winner`.
template <class V, bool FIRST>
inline V activity(V y, V bias, V margin = V{}) {
  if (!FIRST) return y;
  const V v = y + bias;
  return v <= margin ? V{} : v;
}

template <class V>
inline V constant(int k) {
  return V{} + decltype(V{}[0] + V{}[0])(k);
}

// The position among the P x P whose signed activity is largest, the first of equals, and that activity. Values no
// further apart than `margin` are equals: the same sum of products, rounded otherwise at another place.
template <class V, int P>
inline V winner(const V* s, V sign, V& which, V margin = V{}) {
  V best = s[0], key = sign * s[0];
  which = V{};
  for (int k = 1; k < P * P; k++) {
    const V other = sign * s[k];
    const auto more = other > key + margin;
    key = more ? other : key;
    best = more ? s[k] : best;
    which = more ? constant<V>(k) : which;
  }
  return best;
}

// The same, and the gradient that the ReLU after the norm lets through there.
template <class V, int P, bool FIRST>
inline V chosen(const V* v, V sign, V margin, V gain, V mu, V offset, V gradient, V& best, V& which) {
  best = winner<V, P>(v, sign, which, margin);
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

// Signs of the scales, scale * r, and how far apart equals may be, by group and channel.
template <class T>
struct Gains {
  std::vector<T> sign, gain, margin;
  Gains(const T* scale, const T* rstd, const Shape& s, Int stride)
      : sign(s.groups * s.channels), gain(sign.size()), margin(sign.size()) {
    for (Int n = 0; n < s.groups * s.channels; n++) {
      const T v = scale[n / s.channels * stride + n % s.channels];
      sign[n] = v > T(0) ? T(1) : v < T(0) ? T(-1) : T(0);
      gain[n] = rstd ? v * rstd[n] : T(0);
      margin[n] = rstd ? 256 * std::numeric_limits<T>::epsilon() / rstd[n] : T(0);
    }
  }
};


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
    const T *sign = &k.sign[g * C], *margin = &k.margin[g * C], *gain = &k.gain[g * C], *mu = mean + g * C, *bs = bias + g * stride,
            *sh = shift + g * stride;
    const auto cell = [=](const Int* at, Int to) {
      lanes<T>(C, EACH
        V v[P * P], best, which;
        for (int p = 0; p < P * P; p++) v[p] = activity<V, FIRST>(HERE(y + at[p]), HERE(bs), HERE(margin));
        const V gz = chosen<V, P, FIRST>(v, HERE(sign), HERE(margin), HERE(gain), HERE(mu), HERE(sh), HERE(gp + to), best, which);
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
    const T *sign = &k.sign[g * C], *margin = &k.margin[g * C], *gain = &k.gain[g * C], *mu = mean + g * C, *bs = bias + g * stride,
            *sh = shift + g * stride, *a0 = &c0[g * C], *a1 = &c1[g * C];
    const auto cell = [=](const Int* at, Int to) {
      lanes<T>(C, EACH
        V v[P * P], best, which;
        for (int p = 0; p < P * P; p++) v[p] = activity<V, FIRST>(HERE(y + at[p]), HERE(bs), HERE(margin));
        const V gz = HERE(gain) *
            chosen<V, P, FIRST>(v, HERE(sign), HERE(margin), HERE(gain), HERE(mu), HERE(sh), HERE(gp + to), best, which);
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
        const V v = activity<V, FIRST>(HERE(y + at), HERE(bs), HERE(margin));
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
    const T *sign = &k.sign[g * C], *margin = &k.margin[g * C], *gain = &k.gain[g * C], *mu = mean + g * C, *bs = bias + g * stride,
            *sh = shift + g * stride, *hb = hbias + g * C;
    const auto cell = [=](const Int* at, Int to) {
      lanes<T>(C, EACH
        V v[P * P], best, which, picked{}, d1{}, d2{};
        for (int p = 0; p < P * P; p++) v[p] = activity<V, FIRST>(HERE(y + at[p]), HERE(bs), HERE(margin));
        const V gz = chosen<V, P, FIRST>(v, HERE(sign), HERE(margin), HERE(gain), HERE(mu), HERE(sh), HERE(gp + to), best, which);
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
        const V v = activity<V, FIRST>(HERE(y + at), HERE(bs), HERE(margin));
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
    const T *sign = &k.sign[g * C], *margin = &k.margin[g * C], *gain = &k.gain[g * C], *mu = mean + g * C, *bs = bias + g * stride,
            *sh = shift + g * stride, *hb = hbias + g * C, *d0 = &c0[g * C], *d1 = &c1[g * C], *d2 = &c2[g * C],
            *e0 = &h0[g * C], *e1 = &h1[g * C];
    const auto cell = [=](const Int* at, Int to) {
      lanes<T>(C, EACH
        V v[P * P], best, which, picked{};
        for (int p = 0; p < P * P; p++) v[p] = activity<V, FIRST>(HERE(y + at[p]), HERE(bs), HERE(margin));
        const V gz = HERE(e1) *
            chosen<V, P, FIRST>(v, HERE(sign), HERE(margin), HERE(gain), HERE(mu), HERE(sh), HERE(gp + to), best, which);
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
        const V v = activity<V, FIRST>(HERE(y + at), HERE(bs), HERE(margin));
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

}  // namespace
