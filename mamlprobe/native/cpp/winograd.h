// 3x3 convolution with padding 1 and stride 1 by the minimal filtering F(2x2, 3x3) (Winograd 1980, Lavin & Gray 2016):
// 16 multiplications for four outputs instead of 36, and its two derivatives.
//
// An output tile of 2 x 2 sees an input tile d of 4 x 4. With U = G w G^T, V = B^T d B, the outputs are A^T (U . V) A,
// the product taken at each of the 16 places and summed over input channels: 16 matrix products over many tiles. The
// input's gradient is the same with weights transposed and turned; the weight's is G^T (sum V^T (A gy A^T)) G.
#pragma once
#include "vectors.h"

namespace {

struct Maps {  // value (task, row, i, j, channel) at task * by_task + ((row * height + i) * width + j) * by_pixel + channel
  Int tasks, rows, height, width, in, out, in_task, in_pixel, out_task, out_pixel;
  Int tall() const { return (height + 1) / 2; }
  Int wide() const { return (width + 1) / 2; }
  Int tiles() const { return rows * tall() * wide(); }
};

constexpr int BLOCK = 36;  // tiles worked on together; their transforms stay in the second-level cache
constexpr int APART = 16;  // values between the 16 places of a block, against conflicts in the first-level cache

inline Int up(Int n, Int to) { return (n + to - 1) / to * to; }

struct Tile {  // walks over the tiles of one task
  Int row, i, j;
  const Maps& s;
  Tile(Int n, const Maps& s) : row(n / s.wide() / s.tall()), i(n / s.wide() % s.tall()), j(n % s.wide()), s(s) {}
  void next() {
    if (++j < s.wide()) return;
    j = 0;
    if (++i < s.tall()) return;
    i = 0;
    row++;
  }
};

// Transformed weights [16, in, wide], wide = out in whole register blocks; w [out, in, 3, 3], or turned [in, out, 3, 3].
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
    lanes<T>(wide, EACH
      V g[12];
      for (int j = 0; j < 3; j++) {
        const V top = HERE(f + j * wide), middle = HERE(f + (3 + j) * wide), low = HERE(f + (6 + j) * wide);
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
void inputs(const T* x, T* v, const Maps& s, Int first, Int count, const T* zeros) {
  const Int C = s.in, place = BLOCK * C + APART, line = s.width * s.in_pixel;
  Tile tile(first, s);
  for (Int n = 0; n < up(count, 4); n++, tile.next()) {
    const Int i0 = 2 * tile.i - 1, j0 = 2 * tile.j - 1;
    const T *at[16], *corner = x + ((tile.row * s.height + i0) * s.width + j0) * s.in_pixel;
    const bool interior = n < count && i0 >= 0 && j0 >= 0 && i0 + 3 < s.height && j0 + 3 < s.width;
    for (int k = 0; k < 16; k++) at[k] = corner + k / 4 * line + k % 4 * s.in_pixel;
    if (!interior)
      for (int k = 0; k < 16; k++) {
        const Int i = i0 + k / 4, j = j0 + k % 4;
        if (n >= count || i < 0 || i >= s.height || j < 0 || j >= s.width) at[k] = zeros;
      }
    T* to = v + n * C;
    lanes<T>(C, EACH
      V d[16], e[16];
      for (int k = 0; k < 16; k++) d[k] = HERE(at[k]);
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
void outputs(const T* gy, T* m, const Maps& s, Int wide, Int first, Int count, const T* zeros) {
  const Int place = BLOCK * wide + APART;
  Tile tile(first, s);
  for (Int n = 0; n < count; n++, tile.next()) {
    const T* at[4];
    for (int k = 0; k < 4; k++) {
      const Int i = 2 * tile.i + k / 2, j = 2 * tile.j + k % 2;
      at[k] = i < s.height && j < s.width ? gy + ((tile.row * s.height + i) * s.width + j) * s.out_pixel : zeros;
    }
    T* to = m + n * wide;
    lanes<T>(s.out, EACH
      V g[4];
      for (int k = 0; k < 4; k++) g[k] = HERE(at[k]);
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

// to[i, k] (+)= sum over n of a[i * ia + n * na] b[n * wide + k]: ROWS rows, two vectors of columns.
template <class T, int ROWS>
inline void product(const T* a, Int ia, Int na, const T* b, T* to, Int wide, Int depth, bool add) {
  typedef typename Vector<T>::type V;
  constexpr int L = Vector<T>::lanes;
  V sum[ROWS][2];
#pragma GCC unroll 12
  for (int i = 0; i < ROWS; i++) {
    sum[i][0] = add ? load<V>(to + i * wide) : V{};
    sum[i][1] = add ? load<V>(to + i * wide + L) : V{};
  }
  for (Int n = 0; n < depth; n++) {
    const V low = load<V>(b + n * wide), high = load<V>(b + n * wide + L);
#pragma GCC unroll 12
    for (int i = 0; i < ROWS; i++) {
      const T factor = a[i * ia + n * na];
      sum[i][0] += factor * low;
      sum[i][1] += factor * high;
    }
  }
#pragma GCC unroll 12
  for (int i = 0; i < ROWS; i++) {
    store(to + i * wide, sum[i][0]);
    store(to + i * wide + L, sum[i][1]);
  }
}

// The same for `rows` rows, at most ROWS.
template <class T, int ROWS>
inline void product(const T* a, Int ia, Int na, const T* b, T* to, Int rows, Int wide, Int depth, bool add) {
  if (rows == ROWS) return product<T, ROWS>(a, ia, na, b, to, wide, depth, add);
  if constexpr (ROWS > 1) product<T, ROWS - 1>(a, ia, na, b, to, rows, wide, depth, add);
}

// The same for all rows and columns, in tiles as even as can be: a small one would wait for its own sums.
template <class T>
void product(const T* a, Int ia, Int na, const T* b, T* to, Int rows, Int wide, Int depth, bool add) {
  const Int tiles = (rows + TALL - 1) / TALL;
  for (Int k = 0; k < wide; k += 2 * Vector<T>::lanes)
    for (Int t = 0; t < tiles; t++) {
      const Int i = rows * t / tiles, end = rows * (t + 1) / tiles;
      product<T, TALL>(a + i * ia, ia, na, b + k, to + i * wide + k, end - i, wide, depth, add);
    }
}

// y = the sum of `pairs` (1 or 2) convolutions, of maps x[p] by weights w[p].
template <class T>
void winograd(const T* const* x, const T* const* w, int pairs, T* y, const Maps& s, bool turned, int threads) {
  const Int wide = up(s.out, 2 * Vector<T>::lanes), size = 16 * s.in * wide, tiles = s.tiles(),
            blocks = (tiles + BLOCK - 1) / BLOCK;
  const std::vector<T> zeros(s.in, T(0));
  const auto u = room<T>(size * s.tasks * pairs);
#pragma omp parallel num_threads(threads)
  {
#pragma omp for schedule(static)
    for (Int n = 0; n < s.tasks * pairs; n++)
      weights(w[n / s.tasks] + n % s.tasks * s.in * s.out * 9, &u[n * size], s.in, s.out, wide, turned);
    const auto v = room<T>(16 * (BLOCK * s.in + APART)), m = room<T>(16 * (BLOCK * wide + APART));
#pragma omp for schedule(static)
    for (Int n = 0; n < s.tasks * blocks; n++) {
      const Int task = n / blocks, first = n % blocks * BLOCK, count = std::min<Int>(BLOCK, tiles - first);
      for (int p = 0; p < pairs; p++) {
        inputs(x[p] + task * s.in_task, v.get(), s, first, count, zeros.data());
        for (int k = 0; k < 16; k++)
          product(&v[k * (BLOCK * s.in + APART)], s.in, Int(1), &u[(p * s.tasks + task) * size + k * s.in * wide],
                  &m[k * (BLOCK * wide + APART)], up(count, 4), wide, s.in, p > 0);
      }
      Tile tile(first, s);
      for (Int q = 0; q < count; q++, tile.next()) {
        T* to = y + task * s.out_task + ((tile.row * s.height + 2 * tile.i) * s.width + 2 * tile.j) * s.out_pixel;
        const bool right = 2 * tile.j + 1 < s.width, below = 2 * tile.i + 1 < s.height;
        const T* from = &m[q * wide];
        const Int place = BLOCK * wide + APART, down = s.width * s.out_pixel, across = s.out_pixel;
        lanes<T>(s.out, EACH
          V e[8];
          for (int j = 0; j < 4; j++) {
            const V a = HERE(from + j * place), b = HERE(from + (4 + j) * place), d = HERE(from + (8 + j) * place);
            e[j] = a + b + d;
            e[4 + j] = b - d - HERE(from + (12 + j) * place);
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
void winograd_weight(const T* x, const T* gy, T* gw, const Maps& s, int threads) {
  const Int wide = up(s.out, 2 * Vector<T>::lanes), size = 16 * s.in * wide, tiles = s.tiles(),
            blocks = (tiles + BLOCK - 1) / BLOCK, parts = std::max<Int>(1, std::min(blocks, 16 / s.tasks));
  const std::vector<T> zeros(std::max(s.in, s.out), T(0));
  const auto sums = room<T>(size * s.tasks * parts);
#pragma omp parallel num_threads(threads)
  {
    const auto v = room<T>(16 * (BLOCK * s.in + APART)), m = room<T>(16 * (BLOCK * wide + APART));
    if (wide > s.out) std::fill(m.get(), m.get() + 16 * (BLOCK * wide + APART), T(0));  // columns that stay empty
#pragma omp for schedule(static)
    for (Int n = 0; n < s.tasks * parts; n++) {
      const Int task = n / parts, part = n % parts;
      const Int begin = blocks * part / parts;
      for (Int b = begin; b < blocks * (part + 1) / parts; b++) {
        const Int first = b * BLOCK, count = std::min<Int>(BLOCK, tiles - first);
        inputs(x + task * s.in_task, v.get(), s, first, count, zeros.data());
        outputs(gy + task * s.out_task, m.get(), s, wide, first, count, zeros.data());
        for (int k = 0; k < 16; k++)
          product(&v[k * (BLOCK * s.in + APART)], Int(1), s.in, &m[k * (BLOCK * wide + APART)], &sums[n * size + k * s.in * wide], s.in,
                  wide, count, b > begin);
      }
    }
#pragma omp for schedule(static)
    for (Int n = 0; n < s.tasks * s.in; n++) {
      const Int task = n / s.in, channel = n % s.in, place = s.in * wide;
      std::vector<T> row(9 * wide);
      T* f = row.data();
      const T* from = &sums[task * parts * size + channel * wide];
      lanes<T>(wide, EACH
        V u[16], g[12];
        for (int q = 0; q < 16; q++) {
          u[q] = V{};
          for (Int p = 0; p < parts; p++) u[q] += HERE(from + p * size + q * place);
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
      for (Int k = 0; k < s.out; k++)
        for (int q = 0; q < 9; q++) gw[((task * s.out + k) * s.in + channel) * 9 + q] = f[q * wide + k];
    }
  }
}

}  // namespace
