// The entries of the compiled kernels, one a pass and precision.
#include "cells.h"
#include "direct.h"
#include "first.h"
#include "pixels.h"
#include "products.h"

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
    const Images s{n[0], n[1], n[2], n[3], n[4], n[5], n[6], n[7], n[8], n[9], n[10], n[11], n[12]};                 \
    colours == 1 ? first_conv<T, 1>(x, w, y, s, threads) : first_conv<T, 3>(x, w, y, s, threads);                  \
  }                                                                                                                \
  extern "C" void first_conv_weight_##END(const T* x, const T* gy, T* gw, const Int* n, Int colours,               \
                                          Int threads) {                                                           \
    const Images s{n[0], n[1], n[2], n[3], n[4], n[5], n[6], n[7], n[8], n[9], n[10], n[11], n[12]};                 \
    colours == 1 ? first_conv_weight<T, 1>(x, gy, gw, s, threads)                                                  \
                 : first_conv_weight<T, 3>(x, gy, gw, s, threads);                                                 \
  }
#define MAPS {n[0], n[1], n[2], n[3], n[4], n[5], n[6], n[7], n[8], n[9]}
#define WINDOW by_window[0], by_window[1], by_window[2]
#define CONVOLUTION(T, END)                                                                                          \
  extern "C" void conv_##END(const T* x, const T* w, const T* x2, const T* w2, T* y, const Int* n, Int pairs,        \
                             Int turned, Int threads) {                                                              \
    const T *maps[2] = {x, x2}, *by[2] = {w, w2};                                                                    \
    winograd<T>(maps, by, int(pairs), y, MAPS, turned, int(threads));                                                \
  }                                                                                                                  \
  extern "C" void conv_weight_##END(const T* x, const T* gy, T* gw, const Int* n, Int threads) {                     \
    winograd_weight<T>(x, gy, gw, MAPS, int(threads));                                                               \
  }                                                                                                                  \
  extern "C" void direct_##END(const T* x, const T* w, const T* x2, const T* w2, T* y, const Int* n, Int pairs,      \
                               const Int* by_window, Int threads) {                                                  \
    const T *maps[2] = {x, x2}, *by[2] = {w, w2};                                                                    \
    direct<T>(maps, by, int(pairs), y, {MAPS, WINDOW}, int(threads));                                                \
  }                                                                                                                  \
  extern "C" void direct_input_##END(const T* gy, const T* w, T* gx, const Int* n, const Int* by_window, Int threads) {\
    direct_input<T>(gy, w, gx, {MAPS, WINDOW}, int(threads));                                                        \
  }                                                                                                                  \
  extern "C" void direct_weight_##END(const T* x, const T* gy, T* gw, const Int* n, const Int* by_window, Int threads) {\
    direct_weight<T>(x, gy, gw, {MAPS, WINDOW}, int(threads));                                                       \
  }
#define PICK(INNER, T, ARGUMENTS)                                    \
  if (colours == 1 && pool == 1) INNER<T, 1, 1> ARGUMENTS;           \
  if (colours == 1 && pool == 2) INNER<T, 1, 2> ARGUMENTS;           \
  if (colours == 3 && pool == 1) INNER<T, 3, 1> ARGUMENTS;           \
  if (colours == 3 && pool == 2) INNER<T, 3, 2> ARGUMENTS;
#define FIRST_TAIL const Int *n, Int colours, Int pool, Int stride, Int threads
#define FIRST_SHAPE const Images s{n[0], n[1], n[2], n[3], n[4], n[5], n[6], n[7], n[8], n[9], n[10], n[11], n[12]};
#define FIRST_BLOCK(T, END)                                                                                          \
  extern "C" void first_forward_##END(const T* x, const T* w, const T* scale, const T* shift, T* out, T* picked,     \
                                      uint8_t* which, T* mean, T* rstd, double* variance, double* patch_mean,        \
                                      double eps, FIRST_TAIL) {                            \
    FIRST_SHAPE                                                                                                      \
    PICK(first_forward, T,                                                                                           \
         (x, w, scale, shift, out, picked, which, mean, rstd, variance, patch_mean, s, stride,                       \
          eps, int(threads)))                                                                                        \
  }                                                                                                                  \
  extern "C" void first_backward_##END(                                                                              \
      const T* gp, const T* x, const T* w, const T* scale, const T* shift, const T* picked, const uint8_t* which,    \
      const T* mean, const T* rstd, const double* patch_mean, double* patch_covariance, T* won, T* gw,         \
      T* gscale, T* gshift, FIRST_TAIL) {                                                                            \
    FIRST_SHAPE                                                                                                      \
    PICK(first_backward, T,                                                                                          \
         (gp, x, w, scale, shift, picked, which, mean, rstd, patch_mean, patch_covariance, won, gw, gscale, gshift,  \
          s, stride, int(threads)))                                                                                  \
  }                                                                                                                  \
  extern "C" void first_twice_##END(                                                                                 \
      const T* gp, const T* x, const T* w, const T* scale, const T* shift, const T* picked, const uint8_t* which,    \
      const T* mean, const T* rstd, const double* patch_mean, const double* patch_covariance, const T* won,          \
      const T* gscale, const T* gshift, const T* hw, const T* hscale, const T* hshift, T* xgp, T* xw, T* xscale,     \
      FIRST_TAIL) {                                                                                                  \
    FIRST_SHAPE                                                                                                      \
    PICK(first_twice, T,                                                                                             \
         (gp, x, w, scale, shift, picked, which, mean, rstd, patch_mean, patch_covariance, won, gscale, gshift, hw,  \
          hscale, hshift, xgp, xw, xscale, s, stride, int(threads)))                                                 \
  }
#define TABLES(T, END)                                                                                               \
  extern "C" int pixels_##END(T* out, const uint8_t* images, const Int* rows, const T* levels, Int all, Int count,   \
                              Int colours, Int size, Int threads) {                                                  \
    return pixels<T>(out, images, rows, levels, all, count, colours, size, int(threads));                            \
  }                                                                                                                  \
  extern "C" void inner_products_##END(const T* x, const T* y, const T* shift, double* total, double* squares,       \
                                       Int rows, Int f, Int g, Int threads) {                                        \
    const Table s{rows, f, g, up(f + g + 3, 2 * Vector<T>::lanes)};                                                  \
    inner_products<T>(x, y, shift, total, squares, s, int(threads));                                                 \
  }
TABLES(float, f32)
TABLES(double, f64)
FIRST_BLOCK(float, f32)
FIRST_BLOCK(double, f64)
CONVOLUTION(float, f32)
CONVOLUTION(double, f64)
EVERY(float, f32)
EVERY(double, f64)
