// The first and the second derivative of norm, ReLU and pooling, which find the cells' winners in y again.
#pragma once
#include "cells.h"

namespace {

// A group's values of each channel: sign of the scale, how far apart equals may be, scale * r, and the block's own.
template <class T>
struct Group {
  const T *sign, *margin, *gain, *mean, *bias, *shift;
};

template <class T>
struct Groups {
  std::vector<T> sign, gain, margin;
  const Saved<T>& saved;
  const MapShape& s;
  Groups(const Saved<T>& saved, const MapShape& s)
      : sign(s.groups * s.channels), gain(sign.size()), margin(sign.size()), saved(saved), s(s) {
    for (Int n = 0; n < s.groups * s.channels; n++) {
      const T v = saved.scale[n / s.channels * s.stride + n % s.channels];
      sign[n] = sign_of(v);
      gain[n] = v * saved.rstd[n];
      margin[n] = 256 * std::numeric_limits<T>::epsilon() / saved.rstd[n];
    }
  }
  Group<T> at(Int g) const {
    const Int own = g * s.channels, shared = g * s.stride;
    return {&sign[own], &margin[own], &gain[own], saved.mean + own, saved.bias + shared, saved.shift + shared};
  }
};

// A cell's activities, the winner's one, its position, and the gradient that the ReLU after the norm lets through.
template <class V, int P, bool FIRST>
struct Cell {
  V v[P * P], best, which, g;
  template <class T>
  Cell(const Group<T>& k, const T* y, const Int* at, Int c, V gradient) {
    const V margin = load<V>(k.margin + c);
    for (int p = 0; p < P * P; p++) v[p] = activity<V, FIRST>(load<V>(y + at[p] + c), load<V>(k.bias + c), margin);
    best = winner<V, P>(v, load<V>(k.sign + c), which, margin);
    const V z = load<V>(k.gain + c) * (best - load<V>(k.mean + c)) + load<V>(k.shift + c);
    g = FIRST ? gradient : z > V{} ? gradient : V{};
  }
};

// A direction of the activity v.
template <class V, bool FIRST>
inline V direction(V hy, V hbias, V v) {
  return !FIRST ? hy : v > V{} ? hy + hbias : V{};
}

template <class T, int P, bool FIRST>
void backward_of(const Saved<T>& saved, const T* gp, const BackwardResult<T>& made, const MapShape& s, int threads) {
  const Int C = s.channels, each = bands_of<P>(s);
  const T* y = saved.y;
  T* gy = made.gy;
  const double count = count_of(s);
  const Groups<T> groups(saved, s);
  std::vector<double> parts(s.groups * s.rows * each * 2 * C, 0.0), sums;
  bands<P>(s, threads, each, [&](Int n, Int g, Int image, Int first, Int end) {
    Line<T> line(2 * C, &parts[n * 2 * C]);
    T *one = line.at(0), *two = line.at(C);
    const Group<T> k = groups.at(g);
    const auto whole = [=](const Int* at, Int to) {
      lanes<T>(C, [&](auto zero, Int c) {
        typedef decltype(zero) V;
        const Cell<V, P, FIRST> cell(k, y, at, c, load<V>(gp + to + c));
        store(one + c, load<V>(one + c) + cell.g);
        store(two + c, load<V>(two + c) + cell.g * (cell.best - load<V>(k.mean + c)));
      });
    };
    visit<P>(s, image, first, end, whole, [](Int) {}, [&] { line.flush(); });
  });
  gather(parts, s, each, 2, sums);
  std::vector<T> c0(s.groups * C), c1(s.groups * C);
  for (Int g = 0; g < s.groups; g++)
    for (Int c = 0; c < C; c++) {
      const Int n = g * C + c;
      const double r = saved.rstd[n], gb = sums[g * 2 * C + c], gg = sums[g * 2 * C + C + c] * r;
      made.gshift[n] = T(gb);
      made.gscale[n] = T(gg);
      c0[n] = T(-double(groups.gain[n]) * gb / count);
      c1[n] = T(-double(groups.gain[n]) * r * gg / count);
    }
  parts.assign(FIRST ? s.groups * s.rows * each * C : 0, 0.0);
  bands<P>(s, threads, each, [&](Int n, Int g, Int image, Int first, Int end) {
    Line<T> line(FIRST ? C : 0, FIRST ? &parts[n * C] : nullptr);
    T* total = line.at(0);
    const Group<T> k = groups.at(g);
    const T *a0 = &c0[g * C], *a1 = &c1[g * C];
    const auto whole = [=](const Int* at, Int to) {
      lanes<T>(C, [&](auto zero, Int c) {
        typedef decltype(zero) V;
        const Cell<V, P, FIRST> cell(k, y, at, c, load<V>(gp + to + c));
        const V gz = load<V>(k.gain + c) * cell.g;
        for (int p = 0; p < P * P; p++) {
          V x = load<V>(a1 + c) * (cell.v[p] - load<V>(k.mean + c)) + load<V>(a0 + c) +
                (cell.which == constant<V>(p) ? gz : V{});
          if (FIRST) {
            x = cell.v[p] > V{} ? x : V{};
            store(total + c, load<V>(total + c) + x);
          }
          store(gy + at[p] + c, x);
        }
      });
    };
    const auto rest = [=](Int at) {
      lanes<T>(C, [&](auto zero, Int c) {
        typedef decltype(zero) V;
        const V v = activity<V, FIRST>(load<V>(y + at + c), load<V>(k.bias + c), load<V>(k.margin + c));
        V x = load<V>(a1 + c) * (v - load<V>(k.mean + c)) + load<V>(a0 + c);
        if (FIRST) {
          x = v > V{} ? x : V{};
          store(total + c, load<V>(total + c) + x);
        }
        store(gy + at + c, x);
      });
    };
    visit<P>(s, image, first, end, whole, rest, [&] { line.flush(); });
  });
  if (FIRST) {
    gather(parts, s, each, 1, sums);
    for (Int n = 0; n < s.groups * C; n++) made.gbias[n] = T(sums[n]);
  }
}

template <class T, int P, bool FIRST>
void double_backward_of(const Saved<T>& saved, const Gradients<T>& gradients, const Directions<T>& directions,
                        const DoubleBackwardResult<T>& made, const MapShape& s, int threads) {
  const Int C = s.channels, each = bands_of<P>(s);
  const T *y = saved.y, *gp = gradients.gp, *hy = directions.hy;
  T *xgp = made.xgp, *xy = made.xy;
  const double count = count_of(s);
  const Groups<T> groups(saved, s);
  std::vector<double> parts(s.groups * s.rows * each * 3 * C, 0.0), sums;
  bands<P>(s, threads, each, [&](Int n, Int g, Int image, Int first, Int end) {
    Line<T> line(3 * C, &parts[n * 3 * C]);
    T *one = line.at(0), *two = line.at(C), *three = line.at(2 * C);
    const Group<T> k = groups.at(g);
    const T* hb = directions.hbias + g * C;
    const auto whole = [=](const Int* at, Int to) {
      lanes<T>(C, [&](auto zero, Int c) {
        typedef decltype(zero) V;
        const Cell<V, P, FIRST> cell(k, y, at, c, load<V>(gp + to + c));
        V picked{}, d1{}, d2{};
        for (int p = 0; p < P * P; p++) {
          const V h = direction<V, FIRST>(load<V>(hy + at[p] + c), load<V>(hb + c), cell.v[p]);
          d1 += h;
          d2 += h * (cell.v[p] - load<V>(k.mean + c));
          picked = cell.which == constant<V>(p) ? h : picked;
        }
        store(one + c, load<V>(one + c) + d1);
        store(two + c, load<V>(two + c) + d2);
        store(three + c, load<V>(three + c) + cell.g * picked);
      });
    };
    const auto rest = [=](Int at) {
      lanes<T>(C, [&](auto zero, Int c) {
        typedef decltype(zero) V;
        const V v = activity<V, FIRST>(load<V>(y + at + c), load<V>(k.bias + c), load<V>(k.margin + c));
        const V h = direction<V, FIRST>(load<V>(hy + at + c), load<V>(hb + c), v);
        store(one + c, load<V>(one + c) + h);
        store(two + c, load<V>(two + c) + h * (v - load<V>(k.mean + c)));
      });
    };
    visit<P>(s, image, first, end, whole, rest, [&] { line.flush(); });
  });
  gather(parts, s, each, 3, sums);
  std::vector<T> c0(s.groups * C), c1(s.groups * C), c2(s.groups * C), h0(s.groups * C), h1(s.groups * C);
  for (Int g = 0; g < s.groups; g++)
    for (Int c = 0; c < C; c++) {
      const Int n = g * C + c;
      const double r = saved.rstd[n], gain = double(saved.scale[g * s.stride + c]) * r, gg = gradients.gscale[n],
                   gb = gradients.gshift[n], hg = directions.hscale[n], hmean = sums[g * 3 * C + c] / count,
                   q = r * sums[g * 3 * C + C + c] / count,
                   inside = sums[g * 3 * C + 2 * C + c] - gb * hmean - gg * q;
      made.xscale[n] = T(r * inside);
      h0[n] = T(directions.hshift[n] - gain * hmean);
      h1[n] = T(r * (hg - gain * q));
      c2[n] = T(-gain * r * gg / count);
      c1[n] = T(-r * r / count * (hg * gg - 2 * gain * gg * q + gain * inside));
      c0[n] = T(-r / count * (hg * gb - gain * (gb * q + gg * hmean)));
    }
  parts.assign(FIRST ? s.groups * s.rows * each * C : 0, 0.0);
  bands<P>(s, threads, each, [&](Int n, Int g, Int image, Int first, Int end) {
    Line<T> line(FIRST ? C : 0, FIRST ? &parts[n * C] : nullptr);
    T* total = line.at(0);
    const Group<T> k = groups.at(g);
    const T *hb = directions.hbias + g * C, *d0 = &c0[g * C], *d1 = &c1[g * C], *d2 = &c2[g * C], *e0 = &h0[g * C],
            *e1 = &h1[g * C];
    const auto whole = [=](const Int* at, Int to) {
      lanes<T>(C, [&](auto zero, Int c) {
        typedef decltype(zero) V;
        const Cell<V, P, FIRST> cell(k, y, at, c, load<V>(gp + to + c));
        const V gz = load<V>(e1 + c) * cell.g;
        V picked{};
        for (int p = 0; p < P * P; p++) {
          const V h = direction<V, FIRST>(load<V>(hy + at[p] + c), load<V>(hb + c), cell.v[p]);
          V x = load<V>(d2 + c) * h + load<V>(d1 + c) * (cell.v[p] - load<V>(k.mean + c)) + load<V>(d0 + c) +
                (cell.which == constant<V>(p) ? gz : V{});
          picked = cell.which == constant<V>(p) ? h : picked;
          if (FIRST) {
            x = cell.v[p] > V{} ? x : V{};
            store(total + c, load<V>(total + c) + x);
          }
          store(xy + at[p] + c, x);
        }
        const V off = cell.best - load<V>(k.mean + c), gain = load<V>(k.gain + c);
        const V t = gain * picked + load<V>(e1 + c) * off + load<V>(e0 + c);
        const V z = gain * off + load<V>(k.shift + c);
        store(xgp + to + c, FIRST ? t : z > V{} ? t : V{});
      });
    };
    const auto rest = [=](Int at) {
      lanes<T>(C, [&](auto zero, Int c) {
        typedef decltype(zero) V;
        const V v = activity<V, FIRST>(load<V>(y + at + c), load<V>(k.bias + c), load<V>(k.margin + c));
        const V h = direction<V, FIRST>(load<V>(hy + at + c), load<V>(hb + c), v);
        V x = load<V>(d2 + c) * h + load<V>(d1 + c) * (v - load<V>(k.mean + c)) + load<V>(d0 + c);
        if (FIRST) {
          x = v > V{} ? x : V{};
          store(total + c, load<V>(total + c) + x);
        }
        store(xy + at + c, x);
      });
    };
    visit<P>(s, image, first, end, whole, rest, [&] { line.flush(); });
  });
  if (FIRST) {
    gather(parts, s, each, 1, sums);
    for (Int n = 0; n < s.groups * C; n++) made.xbias[n] = T(sums[n]);
  }
}

// Computes the gradients of y, bias (where the ReLU comes first), scale and shift from that of p.
template <class T>
void backward(const Saved<T>& saved, const T* gp, const BackwardResult<T>& made, const MapShape& s, int threads) {
  by_kind(s, [&](auto pool, auto first) { backward_of<T, pool, first>(saved, gp, made, s, threads); });
}

// Computes the derivatives of <directions, backward>.
template <class T>
void double_backward(const Saved<T>& saved, const Gradients<T>& gradients, const Directions<T>& directions,
                     const DoubleBackwardResult<T>& made, const MapShape& s, int threads) {
  by_kind(s, [&](auto pool, auto first) {
    double_backward_of<T, pool, first>(saved, gradients, directions, made, s, threads);
  });
}

}  // namespace
