// Small whole numbers in vectors, kept as bytes.
#pragma once
#include "vectors.h"

namespace {

template <class V>
struct Bytes {
  static constexpr size_t lanes = sizeof(V) / sizeof(V{}[0]);
  typedef uint8_t type __attribute__((vector_size(lanes)));
  typedef int32_t whole __attribute__((vector_size(4 * lanes)));
};

// Compilers take the way over whole numbers lane by lane: where the processor has an instruction for it, it is named.
template <class V>
inline void remember(const V& number, uint8_t* which) {
  const auto whole = __builtin_convertvector(number, typename Bytes<V>::whole);
#if defined(__SSE2__)
  if constexpr (sizeof whole == 16) {
    const __m128i words = _mm_packs_epi32((__m128i)whole, (__m128i)whole);
    const int32_t four = _mm_cvtsi128_si32(_mm_packus_epi16(words, words));
    std::memcpy(which, &four, 4);
    return;
  }
#endif
#if defined(__AVX2__)
  if constexpr (sizeof whole == 32) {
    const __m128i low = _mm256_castsi256_si128((__m256i)whole), high = _mm256_extracti128_si256((__m256i)whole, 1),
                  words = _mm_packs_epi32(low, high);
    _mm_storel_epi64((__m128i*)which, _mm_packus_epi16(words, words));
    return;
  }
#endif
  store(which, __builtin_convertvector(whole, typename Bytes<V>::type));
}

template <class V>
inline V numbers(const uint8_t* which) {
  typedef typename Bytes<V>::whole Whole;
#if defined(__AVX512F__)
  if constexpr (sizeof(Whole) == 64)
    return __builtin_convertvector((Whole)_mm512_cvtepu8_epi32(_mm_loadu_si128((const __m128i*)which)), V);
#endif
#if defined(__AVX2__)
  if constexpr (sizeof(Whole) == 32)
    return __builtin_convertvector((Whole)_mm256_cvtepu8_epi32(_mm_loadl_epi64((const __m128i*)which)), V);
#endif
#if defined(__SSE2__)
  if constexpr (sizeof(Whole) == 16) {
    int32_t four;
    std::memcpy(&four, which, 4);
    const __m128i zero = _mm_setzero_si128(), words = _mm_unpacklo_epi8(_mm_cvtsi32_si128(four), zero);
    return __builtin_convertvector((Whole)_mm_unpacklo_epi16(words, zero), V);
  }
#endif
  return __builtin_convertvector(__builtin_convertvector(load<typename Bytes<V>::type>(which), Whole), V);
}

}  // namespace
