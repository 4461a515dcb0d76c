// Vectors as wide as the processor's registers, and loops over channels by them.
#include <algorithm>
#include <cmath>
#include <cstdint>
#include <cstring>
#include <limits>
#include <memory>
#include <vector>

typedef int64_t Int;

#if defined(__AVX512F__)
constexpr int WIDE = 64;
#elif defined(__AVX__)
constexpr int WIDE = 32;
#else
constexpr int WIDE = 16;
#endif
template <class T>
struct Vector;
template <>
struct Vector<float> {
  typedef float type __attribute__((vector_size(WIDE)));
  static constexpr int lanes = WIDE / 4;
};
template <>
struct Vector<double> {
  typedef double type __attribute__((vector_size(WIDE)));
  static constexpr int lanes = WIDE / 8;
};

template <class V, class T>
inline V load(const T* from) {
  V v;
  std::memcpy(&v, from, sizeof v);
  return v;
}

template <class V, class T>
inline void store(T* to, const V& v) {
  std::memcpy(to, &v, sizeof v);
}

// Room for values that are written before they are read: unlike a vector, it is not filled with zeros first.
template <class T>
std::unique_ptr<T[]> room(Int count) {
  return std::unique_ptr<T[]>(new T[count]);
}

// Calls body(V, channel) for whole vectors of channels, then for the rest one by one.
template <class T, class Body>
inline void lanes(Int channels, const Body& body) {
  typedef T One __attribute__((vector_size(sizeof(T))));
  constexpr int L = Vector<T>::lanes;
  Int c = 0;
  for (; c + L <= channels; c += L) body(typename Vector<T>::type{}, c);
  for (; c < channels; c++) body(One{}, c);
}

// A body for `lanes`: EACH ... }); inside, HERE(pointer) is the vector of channels c, c + 1, ...
#define HERE(pointer) load<V>((pointer) + c)
#define EACH [&](auto zero, Int c) { typedef decltype(zero) V;
