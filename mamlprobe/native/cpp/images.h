// The convolution of images with few colours, whose own gradient nobody asks for.

struct Images {  // x [tasks, rows, CIN, height, width]; y [..., tall, wide, channels] with these strides
  Int tasks, rows, height, width, step, tall, wide, channels, by_task, by_row, by_pixel, weight_stride, pad;
};

template <class T, int CIN>
void padded(const T* x, const Images& s, std::vector<T>& into) {
  const Int W = s.width + 2 * s.pad, H = s.height + 2 * s.pad;
  into.assign(CIN * H * W, T(0));
  for (int c = 0; c < CIN; c++)
    for (Int i = 0; i < s.height; i++)
      std::memcpy(&into[(c * H + i + s.pad) * W + s.pad], x + (c * s.height + i) * s.width, s.width * sizeof(T));
}

template <class T, class V, int CIN, int PIXELS>
inline void taps(const T* x, const Images& s, Int i, Int j, const T* w, Int C, T* y) {
  const Int W = s.width + 2 * s.pad, plane = (s.height + 2 * s.pad) * W;
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
  const Int W = s.width + 2 * s.pad, plane = (s.height + 2 * s.pad) * W, C = s.channels;
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
