// The compiled kernels, as Python finds them: by name and precision.
#include <string_view>

#include "cell_derivatives.h"
#include "cells.h"
#include "direct.h"
#include "first.h"
#include "first_derivatives.h"
#include "images.h"
#include "inner_products.h"
#include "pixels.h"
#include "winograd.h"

namespace {

typedef void (*Function)();  // of any arguments, for Python to know

template <class Arguments>
Function any(Arguments* kernel) {
  return reinterpret_cast<Function>(kernel);
}

template <class T>
Function kernel_of(std::string_view name) {
  static const struct {
    std::string_view name;
    Function kernel;
  } all[] = {
      {"forward", any(forward<T>)},
      {"backward", any(backward<T>)},
      {"double_backward", any(double_backward<T>)},
      {"first_forward", any(first_forward<T>)},
      {"first_backward", any(first_backward<T>)},
      {"first_double_backward", any(first_double_backward<T>)},
      {"first_conv", any(first_conv<T>)},
      {"first_conv_weight", any(first_conv_weight<T>)},
      {"winograd", any(winograd<T>)},
      {"winograd_weight", any(winograd_weight<T>)},
      {"direct", any(direct<T>)},
      {"direct_input", any(direct_input<T>)},
      {"direct_weight", any(direct_weight<T>)},
      {"inner_products", any(inner_products<T>)},
      {"pixels", any(pixels<T>)},
  };
  for (const auto& each : all)
    if (each.name == name) return each.kernel;
  return nullptr;
}

}  // namespace

// The kernel of that name for numbers of so many bytes, null if there is none.
extern "C" Function kernel(const char* name, int bytes) {
  return bytes == sizeof(float) ? kernel_of<float>(name) : bytes == sizeof(double) ? kernel_of<double>(name) : nullptr;
}

// Bytes of what Python hands over under that name, 0 if there is nothing.
extern "C" int size_of(const char* name) {
  static const struct {
    std::string_view name;
    size_t size;
  } all[] = {
      {"MapShape", sizeof(MapShape)},
      {"ImageShape", sizeof(ImageShape)},
      {"ConvShape", sizeof(ConvShape)},
      {"PixelShape", sizeof(PixelShape)},
      {"TableShape", sizeof(TableShape)},
      {"Saved", sizeof(Saved<float>)},
      {"Gradients", sizeof(Gradients<float>)},
      {"Directions", sizeof(Directions<float>)},
      {"BackwardResult", sizeof(BackwardResult<float>)},
      {"DoubleBackwardResult", sizeof(DoubleBackwardResult<float>)},
      {"FirstSaved", sizeof(FirstSaved<float>)},
      {"FirstGradients", sizeof(FirstGradients<float>)},
      {"FirstDirections", sizeof(FirstDirections<float>)},
      {"FirstBackwardResult", sizeof(FirstBackwardResult<float>)},
      {"FirstDoubleBackwardResult", sizeof(FirstDoubleBackwardResult<float>)},
  };
  for (const auto& each : all)
    if (each.name == name) return int(each.size);
  return 0;
}
