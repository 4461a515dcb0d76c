// Images of bytes as what a net sees.
#pragma once
#include "vectors.h"

namespace {

// out [count, colours, size] = (byte / 255 - mean) / std of the images at these rows; levels [2, colours], or none.
// Returns 1 if all rows are among the images, else 0, and nothing is read.
template <class T>
int pixels(T* out, const uint8_t* images, const Int* rows, const T* levels, const PixelShape& s, int threads) {
  const Int colours = s.colours, size = s.size;
  for (Int n = 0; n < s.count; n++)
    if (rows[n] < 0 || rows[n] >= s.all) return 0;
#pragma omp parallel for schedule(static) num_threads(threads)
  for (Int n = 0; n < s.count * colours; n++) {
    const uint8_t* from = images + (rows[n / colours] * colours + n % colours) * size;
    T* to = out + n * size;
    if (levels == nullptr)
      for (Int q = 0; q < size; q++) to[q] = T(from[q]) / T(255);
    else
      for (Int q = 0; q < size; q++)
        to[q] = (T(from[q]) / T(255) - levels[n % colours]) / levels[colours + n % colours];
  }
  return 1;
}

}  // namespace
