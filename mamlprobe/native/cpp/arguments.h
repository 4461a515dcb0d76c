// What Python hands over, field by field: sizes and strides as `native/arguments.py` has them, and tuples of tensors,
// all contiguous, as `native/block_passes.py` has them.
#pragma once
#include <cstdint>

typedef int64_t Int;

namespace {

// Maps [groups, rows, height, width, channels] before norm, ReLU and pooling; a group's vectors lie `stride` apart.
struct MapShape {
  Int groups, rows, height, width, channels, stride, pool, relu_first;
};

// Images [tasks, rows, colours, height, width] before a convolution of side 3, and what is made of them [..., tall,
// wide, channels] with these strides: its outputs, or after the first block the pooled ones. A task's weights lie
// `weight_stride` apart, its scales and shifts `stride`; `pool` and `stride` are the block's alone.
struct ImageShape {
  Int tasks, rows, colours, height, width, step, pad, tall, wide, channels, by_task, by_row, by_pixel, weight_stride;
  Int pool, stride;
};

// Maps before and after a convolution, with a square window: value (task, row, i, j, channel) at task * by_task +
// ((row * height + i) * width + j) * by_pixel + channel; height and width are those before.
struct ConvShape {
  Int tasks, rows, height, width, in_channels, out_channels, in_by_task, in_by_pixel, out_by_task, out_by_pixel;
  Int side, step, pad;
};

// `count` images [colours, size] of bytes, chosen from `all`.
struct PixelShape {
  Int all, count, colours, size;
};

// Rows of f values of x and g of y, each row behind the other.
struct TableShape {
  Int rows, f, g;
};

static_assert(sizeof(MapShape) == 8 * sizeof(Int) && sizeof(ImageShape) == 16 * sizeof(Int) &&
              sizeof(ConvShape) == 13 * sizeof(Int) && sizeof(PixelShape) == 4 * sizeof(Int) &&
              sizeof(TableShape) == 3 * sizeof(Int));

// Of the block of norm, ReLU and pooling. `forward` writes mean and rstd; p, off and which are another route's.
template <class T>
struct Saved {
  const T *y, *bias, *scale, *shift;
  T *mean, *rstd;
  const void *p, *off, *which;
};

template <class T>
struct Gradients {
  const T *gp, *gscale, *gshift;
};

template <class T>
struct Directions {
  const T *hy, *hbias, *hscale, *hshift;
};

template <class T>
struct BackwardResult {
  T *gy, *gbias, *gscale, *gshift;
};

template <class T>
struct DoubleBackwardResult {
  T *xgp, *xy, *xbias, *xscale;
};

// Of the first block. `first_forward` writes all from picked on.
template <class T>
struct FirstSaved {
  const T *x, *taps, *scale, *shift;
  T* picked;
  uint8_t* which;
  T *mean, *rstd;
  double* patch_mean;
};

template <class T>
struct FirstGradients {
  const T *gp, *gscale, *gshift, *won;
  const double* covariance;
};

template <class T>
struct FirstDirections {
  const T *htaps, *hscale, *hshift;
};

template <class T>
struct FirstBackwardResult {
  T *gtaps, *gscale, *gshift, *won;
  double* covariance;
};

template <class T>
struct FirstDoubleBackwardResult {
  T *xgp, *xtaps, *xscale;
};

static_assert(sizeof(Saved<float>) == 9 * sizeof(void*) && sizeof(FirstSaved<float>) == 9 * sizeof(void*));

}  // namespace
