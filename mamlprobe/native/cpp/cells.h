// Norm, ReLU and pooling of a block: the forward pass, and what it shares with `cell_derivatives.h`. The formulas, and
// the same in torch, are in `norm_relu_pool.py`.
//
// Maps are y [groups, rows, height, width, channels], channels innermost. A group and channel is normalised together:
// count = rows * height * width values. A cell is what one output value sees: P x P positions (P = 2 pools, 1 does
// not); positions that no cell covers (odd sizes) count for the statistics alone. With FIRST the ReLU, of y + bias,
// comes before the norm. Sums are taken along rows of cells in T and carried on in double, in an order that does not
// depend on the number of threads.
#pragma once
#include "vectors.h"

namespace {

// Calls body(P, FIRST), both constants, as the shape says.
template <class Body>
void by_kind(const MapShape& s, const Body& body) {
  const auto by_order = [&](auto pool) {
    if (s.relu_first) body(pool, std::true_type{});
    else body(pool, std::false_type{});
  };
  if (s.pool == 2) by_order(std::integral_constant<int, 2>{});
  else by_order(std::integral_constant<int, 1>{});
}

inline double count_of(const MapShape& s) { return double(s.rows) * s.height * s.width; }

// Splits images into bands of cell rows, calls body(band number, group, image, first row, end row) for each.
template <int P, class Body>
void bands(const MapShape& s, int threads, Int each, const Body& body) {
  const Int images = s.groups * s.rows, tall = s.height / P;
#pragma omp parallel for schedule(static) num_threads(threads)
  for (Int n = 0; n < images * each; n++) {
    const Int image = n / each, band = n % each;
    body(n, image / s.rows, image, tall * band / each, tall * (band + 1) / each);
  }
}

template <int P>
Int bands_of(const MapShape& s) {
  return std::max<Int>(1, std::min<Int>(s.height / P, 16 / (s.groups * s.rows)));
}

// Visits a band: cell(positions, output offset), rest(position) for what no cell covers, line() after each row.
// Positions are offsets into the whole y.
template <int P, class Cell, class Rest, class Line>
void visit(const MapShape& s, Int image, Int first, Int end, const Cell& cell, const Rest& rest, const Line& line) {
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

// Adds the bands' sums [bands, K, channels] of each group, in order.
inline void gather(const std::vector<double>& parts, const MapShape& s, Int each, int K, std::vector<double>& sums) {
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

template <class T>
inline T sign_of(T v) {
  return v > T(0) ? T(1) : v < T(0) ? T(-1) : T(0);
}

template <class T, int P, bool FIRST>
void forward_of(const Saved<T>& saved, T* p, double* variance, const MapShape& s, double eps, int threads) {
  const Int C = s.channels, stride = s.stride, each = bands_of<P>(s);
  const T *y = saved.y, *bias = saved.bias, *scale = saved.scale, *shift = saved.shift;
  T *mean = saved.mean, *rstd = saved.rstd;
  const double count = count_of(s);
  std::vector<T> signs(s.groups * C);
  std::vector<T> pivot(s.groups * C);  // sums are of the distance to the group's first value: no cancellation
  for (Int n = 0; n < s.groups * C; n++) {
    signs[n] = sign_of(scale[n / C * stride + n % C]);
    const T v = y[n / C * s.rows * s.height * s.width * C + n % C] + (FIRST ? bias[n / C * stride + n % C] : T(0));
    pivot[n] = FIRST && v < T(0) ? T(0) : v;
  }
  std::vector<double> parts(s.groups * s.rows * each * 2 * C, 0.0), sums;
  bands<P>(s, threads, each, [&](Int n, Int g, Int image, Int first, Int end) {
    Line<T> line(2 * C, &parts[n * 2 * C]);
    T *one = line.at(0), *two = line.at(C);
    const T *sign = &signs[g * C], *pv = &pivot[g * C], *bs = bias + g * stride;
    const auto cell = [=](const Int* at, Int to) {
      lanes<T>(C, [&](auto zero, Int c) {
        typedef decltype(zero) V;
        V v[P * P], which, d1{}, d2{};
        for (int k = 0; k < P * P; k++) {
          v[k] = activity<V, FIRST>(load<V>(y + at[k] + c), load<V>(bs + c));
          const V d = v[k] - load<V>(pv + c);
          d1 += d;
          d2 += d * d;
        }
        store(p + to + c, winner<V, P>(v, load<V>(sign + c), which));
        store(one + c, load<V>(one + c) + d1);
        store(two + c, load<V>(two + c) + d2);
      });
    };
    const auto rest = [=](Int at) {
      lanes<T>(C, [&](auto zero, Int c) {
        typedef decltype(zero) V;
        const V d = activity<V, FIRST>(load<V>(y + at + c), load<V>(bs + c)) - load<V>(pv + c);
        store(one + c, load<V>(one + c) + d);
        store(two + c, load<V>(two + c) + d * d);
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
    T* o = p + q * C;
    const T *gn = &gain[q / cells * C], *mu = mean + q / cells * C, *sh = shift + q / cells * stride;
    lanes<T>(C, [&](auto zero, Int c) {
      typedef decltype(zero) V;
      const V z = load<V>(gn + c) * (load<V>(o + c) - load<V>(mu + c)) + load<V>(sh + c);
      store(o + c, FIRST ? z : z < V{} ? V{} : z);
    });
  }
}

// Computes p and the variance, and saves mean and rstd.
template <class T>
void forward(const Saved<T>& saved, T* p, double* variance, const MapShape& s, double eps, int threads) {
  by_kind(s, [&](auto pool, auto first) { forward_of<T, pool, first>(saved, p, variance, s, eps, threads); });
}

}  // namespace
