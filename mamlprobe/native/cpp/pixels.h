// Images of bytes as what a net sees.
#pragma once
#include "vectors.h"

namespace {

// out [count, colours, size] = (byte / 255 - mean) / std of the images at these rows; levels [2, colours], or none.
// Whether all rows are among the `all` images: else nothing is read.
template <class T>
bool pixels(T* out, const uint8_t* images, const Int* rows, const T* levels, Int all, Int count, Int colours, Int size,
            int threads) {
  for (Int n = 0; n < count; n++)
    if (rows[n] < 0 || rows[n] >= all) return false;
#pragma omp parallel for schedule(static) num_threads(threads)
  for (Int n = 0; n < count * colours; n++) {
    const uint8_t* from = images + (rows[n / colours] * colours + n % colours) * size;
    T* to = out + n * size;
    if (levels == nullptr)
      for (Int q = 0; q < size; q++) to[q] = T(from[q]) / T(255);
    else
      for (Int q = 0; q < size; q++) to[q] = (T(from[q]) / T(255) - levels[n % colours]) / levels[colours + n % colours];
  }
  return true;
}

}  // namespace
