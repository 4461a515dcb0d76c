// 3x3 convolution with padding 1 and stride 1 by the minimal filtering F(2x2, 3x3) (Winograd 1980, Lavin & Gray 2016):
// 16 multiplications for four outputs instead of 36, and its two derivatives.
//
// An output tile of 2 x 2 sees an input tile d of 4 x 4. With U = G w G^T, V = B^T d B, the outputs are A^T (U . V) A,
// the product taken at each of the 16 places and summed over input channels: 16 matrix products over many tiles. The
// input's gradient is the same with weights transposed and turned; the weight's is G^T (sum V^T (A gy A^T)) G.
#pragma once
#include "product.h"

namespace {

inline Int tall_of(const ConvShape& s) { return (s.height + 1) / 2; }  // rows and columns of tiles
inline Int wide_of(const ConvShape& s) { return (s.width + 1) / 2; }
inline Int tiles_of(const ConvShape& s) { return s.rows * tall_of(s) * wide_of(s); }

constexpr int APART = 16;  // values between the 16 places of a block, against conflicts in the first-level cache

struct Tile {  // walks over the tiles of one task
  Int tall, wide, row, i, j;
  Tile(Int n, const ConvShape& s)
      : tall(tall_of(s)), wide(wide_of(s)), row(n / wide / tall), i(n / wide % tall), j(n % wide) {}
  void next() {
    if (++j < wide) return;
    j = 0;
    if (++i < tall) return;
    i = 0;
    row++;
  }
};

// Transformed weights [16, in, wide], wide = out in whole register blocks; w [out, in, 3, 3], turned [in, out, 3, 3].
template <class T>
void weights(const T* w, T* u, Int in, Int out, Int wide, bool turned) {
  const Int place = in * wide;
  std::vector<T> row(9 * wide, T(0));
  T* f = row.data();
  for (Int c = 0; c < in; c++) {
    for (Int k = 0; k < out; k++) {
      const T* from = w + (turned ? c * out + k : k * in + c) * 9;
      for (int q = 0; q < 9; q++) f[q * wide + k] = from[turned ? 8 - q : q];
    }
    T* to = u + c * wide;
    lanes<T>(wide, [&](auto zero, Int c) {
      typedef decltype(zero) V;
      V g[12];
      for (int j = 0; j < 3; j++) {
        const V top = load<V>(f + j * wide + c), middle = load<V>(f + (3 + j) * wide + c),
                low = load<V>(f + (6 + j) * wide + c);
        g[j] = top;
        g[3 + j] = T(.5) * (top + middle + low);
        g[6 + j] = T(.5) * (top - middle + low);
        g[9 + j] = low;
      }
      for (int i = 0; i < 4; i++) {
        const V left = g[3 * i], middle = g[3 * i + 1], right = g[3 * i + 2];
        store(to + (4 * i + 0) * place + c, left);
        store(to + (4 * i + 1) * place + c, T(.5) * (left + middle + right));
        store(to + (4 * i + 2) * place + c, T(.5) * (left - middle + right));
        store(to + (4 * i + 3) * place + c, right);
      }
    });
  }
}

// V [16, BLOCK, in] of the tiles first ... first + count - 1 of one task's maps x; missing tiles are zero.
template <class T>
void inputs(const T* x, T* v, const ConvShape& s, Int first, Int count, const T* zeros) {
  const Int C = s.in_channels, place = BLOCK * C + APART, line = s.width * s.in_by_pixel;
  Tile tile(first, s);
  for (Int n = 0; n < up(count, 4); n++, tile.next()) {
    const Int i0 = 2 * tile.i - 1, j0 = 2 * tile.j - 1;
    const T *at[16], *corner = x + ((tile.row * s.height + i0) * s.width + j0) * s.in_by_pixel;
    const bool interior = n < count && i0 >= 0 && j0 >= 0 && i0 + 3 < s.height && j0 + 3 < s.width;
    for (int k = 0; k < 16; k++) at[k] = corner + k / 4 * line + k % 4 * s.in_by_pixel;
    if (!interior)
      for (int k = 0; k < 16; k++) {
        const Int i = i0 + k / 4, j = j0 + k % 4;
        if (n >= count || i < 0 || i >= s.height || j < 0 || j >= s.width) at[k] = zeros;
      }
    T* to = v + n * C;
    lanes<T>(C, [&](auto zero, Int c) {
      typedef decltype(zero) V;
      V d[16], e[16];
      for (int k = 0; k < 16; k++) d[k] = load<V>(at[k] + c);
      for (int j = 0; j < 4; j++) {
        e[j] = d[j] - d[8 + j];
        e[4 + j] = d[4 + j] + d[8 + j];
        e[8 + j] = d[8 + j] - d[4 + j];
        e[12 + j] = d[4 + j] - d[12 + j];
      }
      for (int i = 0; i < 16; i += 4) {
        store(to + (i + 0) * place + c, e[i] - e[i + 2]);
        store(to + (i + 1) * place + c, e[i + 1] + e[i + 2]);
        store(to + (i + 2) * place + c, e[i + 2] - e[i + 1]);
        store(to + (i + 3) * place + c, e[i + 1] - e[i + 3]);
      }
    });
  }
}

// A gy A^T [16, BLOCK, wide] of one task's maps gy; missing positions are zero.
template <class T>
void outputs(const T* gy, T* m, const ConvShape& s, Int wide, Int first, Int count, const T* zeros) {
  const Int place = BLOCK * wide + APART;
  Tile tile(first, s);
  for (Int n = 0; n < count; n++, tile.next()) {
    const T* at[4];
    for (int k = 0; k < 4; k++) {
      const Int i = 2 * tile.i + k / 2, j = 2 * tile.j + k % 2;
      at[k] = i < s.height && j < s.width ? gy + ((tile.row * s.height + i) * s.width + j) * s.out_by_pixel : zeros;
    }
    T* to = m + n * wide;
    lanes<T>(s.out_channels, [&](auto zero, Int c) {
      typedef decltype(zero) V;
      V g[4];
      for (int k = 0; k < 4; k++) g[k] = load<V>(at[k] + c);
      const V e[8] = {g[0], g[1], g[0] + g[2], g[1] + g[3], g[0] - g[2], g[1] - g[3], -g[2], -g[3]};
      for (int i = 0; i < 4; i++) {
        store(to + (4 * i + 0) * place + c, e[2 * i]);
        store(to + (4 * i + 1) * place + c, e[2 * i] + e[2 * i + 1]);
        store(to + (4 * i + 2) * place + c, e[2 * i] - e[2 * i + 1]);
        store(to + (4 * i + 3) * place + c, -e[2 * i + 1]);
      }
    });
  }
}

// y = the convolution of maps x by weights w and, where they are given, of x2 by w2; turned, as the input's gradient.
template <class T>
void winograd(const T* x, const T* w, const T* x2, const T* w2, T* y, const ConvShape& s, int turned, int threads) {
  const T *const maps[2] = {x, x2}, *const by[2] = {w, w2};
  const int pairs = x2 == nullptr ? 1 : 2;
  const Int C = s.in_channels, K = s.out_channels, wide = up(K, 2 * Vector<T>::lanes), size = 16 * C * wide,
            tiles = tiles_of(s), blocks = (tiles + BLOCK - 1) / BLOCK;
  const std::vector<T> zeros(C, T(0));
  const auto u = room<T>(size * s.tasks * pairs);
#pragma omp parallel num_threads(threads)
  {
#pragma omp for schedule(static)
    for (Int n = 0; n < s.tasks * pairs; n++)
      weights(by[n / s.tasks] + n % s.tasks * C * K * 9, &u[n * size], C, K, wide, turned);
    const auto v = room<T>(16 * (BLOCK * C + APART)), m = room<T>(16 * (BLOCK * wide + APART));
#pragma omp for schedule(static)
    for (Int n = 0; n < s.tasks * blocks; n++) {
      const Int task = n / blocks, first = n % blocks * BLOCK, count = std::min<Int>(BLOCK, tiles - first);
      for (int p = 0; p < pairs; p++) {
        inputs(maps[p] + task * s.in_by_task, v.get(), s, first, count, zeros.data());
        for (int k = 0; k < 16; k++)
          product(&v[k * (BLOCK * C + APART)], C, Int(1), &u[(p * s.tasks + task) * size + k * C * wide],
                  &m[k * (BLOCK * wide + APART)], up(count, 4), wide, C, p > 0);
      }
      Tile tile(first, s);
      for (Int q = 0; q < count; q++, tile.next()) {
        T* to = y + task * s.out_by_task + ((tile.row * s.height + 2 * tile.i) * s.width + 2 * tile.j) * s.out_by_pixel;
        const bool right = 2 * tile.j + 1 < s.width, below = 2 * tile.i + 1 < s.height;
        const T* from = &m[q * wide];
        const Int place = BLOCK * wide + APART, down = s.width * s.out_by_pixel, across = s.out_by_pixel;
        lanes<T>(K, [&](auto zero, Int c) {
          typedef decltype(zero) V;
          V e[8];
          for (int j = 0; j < 4; j++) {
            const V a = load<V>(from + j * place + c), b = load<V>(from + (4 + j) * place + c),
                    d = load<V>(from + (8 + j) * place + c);
            e[j] = a + b + d;
            e[4 + j] = b - d - load<V>(from + (12 + j) * place + c);
          }
          store(to + c, e[0] + e[1] + e[2]);
          if (right) store(to + across + c, e[1] - e[2] - e[3]);
          if (below) store(to + down + c, e[4] + e[5] + e[6]);
          if (right && below) store(to + down + across + c, e[5] - e[6] - e[7]);
        });
      }
    }
  }
}

// gw [tasks, out, in, 3, 3] from maps x and gy.
template <class T>
void winograd_weight(const T* x, const T* gy, T* gw, const ConvShape& s, int threads) {
  const Int C = s.in_channels, K = s.out_channels, wide = up(K, 2 * Vector<T>::lanes), size = 16 * C * wide,
            tiles = tiles_of(s), blocks = (tiles + BLOCK - 1) / BLOCK,
            parts = std::max<Int>(1, std::min(blocks, 16 / s.tasks));
  const std::vector<T> zeros(std::max(C, K), T(0));
  const auto sums = room<T>(size * s.tasks * parts);
#pragma omp parallel num_threads(threads)
  {
    const auto v = room<T>(16 * (BLOCK * C + APART)), m = room<T>(16 * (BLOCK * wide + APART));
    if (wide > K) std::fill(m.get(), m.get() + 16 * (BLOCK * wide + APART), T(0));  // columns that stay empty
#pragma omp for schedule(static)
    for (Int n = 0; n < s.tasks * parts; n++) {
      const Int task = n / parts, part = n % parts;
      const Int begin = blocks * part / parts;
      for (Int b = begin; b < blocks * (part + 1) / parts; b++) {
        const Int first = b * BLOCK, count = std::min<Int>(BLOCK, tiles - first);
        inputs(x + task * s.in_by_task, v.get(), s, first, count, zeros.data());
        outputs(gy + task * s.out_by_task, m.get(), s, wide, first, count, zeros.data());
        for (int k = 0; k < 16; k++)
          product(&v[k * (BLOCK * C + APART)], Int(1), C, &m[k * (BLOCK * wide + APART)],
                  &sums[n * size + k * C * wide], C, wide, count, b > begin);
      }
    }
#pragma omp for schedule(static)
    for (Int n = 0; n < s.tasks * C; n++) {
      const Int task = n / C, channel = n % C, place = C * wide;
      std::vector<T> row(9 * wide);
      T* f = row.data();
      const T* from = &sums[task * parts * size + channel * wide];
      lanes<T>(wide, [&](auto zero, Int c) {
        typedef decltype(zero) V;
        V u[16], g[12];
        for (int q = 0; q < 16; q++) {
          u[q] = V{};
          for (Int p = 0; p < parts; p++) u[q] += load<V>(from + p * size + q * place + c);
        }
        for (int j = 0; j < 4; j++) {
          const V plus = T(.5) * (u[4 + j] + u[8 + j]), minus = T(.5) * (u[4 + j] - u[8 + j]);
          g[j] = u[j] + plus;
          g[4 + j] = minus;
          g[8 + j] = plus + u[12 + j];
        }
        for (int i = 0; i < 3; i++) {
          const V plus = T(.5) * (g[4 * i + 1] + g[4 * i + 2]), minus = T(.5) * (g[4 * i + 1] - g[4 * i + 2]);
          store(f + (3 * i + 0) * wide + c, g[4 * i] + plus);
          store(f + (3 * i + 1) * wide + c, minus);
          store(f + (3 * i + 2) * wide + c, plus + g[4 * i + 3]);
        }
      });
      for (Int k = 0; k < K; k++)
        for (int q = 0; q < 9; q++) gw[((task * K + k) * C + channel) * 9 + q] = f[q * wide + k];
    }
  }
}

}  // namespace
