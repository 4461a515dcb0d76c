// How much is worked on at once, by the processor's registers: the one place where these sizes are chosen.
//
// The sums of a tile, its vectors and a factor need no more registers than there are, and where it can be are enough
// (eight or more) for a sum not to wait for the one before. No result but `inner_products` depends on them.
#pragma once

#if defined(__AVX512F__)  // AVX-512: 32 registers, and a factor is part of its multiplication
constexpr int WIDE = 64;     // bytes of a vector
constexpr int TALL = 12;     // rows of a tile of a product, two vectors wide: 24 sums
constexpr int PIECE = 512;   // rows whose inner products are summed in their own type, then in double
constexpr int MANY = 1;      // vectors of channels of the first convolution at once: factors cost nothing
constexpr int SPOTS = 8;     // its positions at once: 8 sums
constexpr int TRIPLES = 9;   // of its weight's gradient, rows of three taps at once: 27 sums, all of three colours
#elif defined(__AVX__)  // AVX2: 16 registers, and each factor is a load of its own
constexpr int WIDE = 32;
constexpr int TALL = 6;      // 12 sums, two vectors, a factor
constexpr int PIECE = 256;   // a tile's columns stay in the first-level cache
constexpr int MANY = 2;      // a factor for two vectors: the loads keep up with the multiplications
constexpr int SPOTS = 4;     // 8 sums
constexpr int TRIPLES = 2;   // 12 sums
#elif defined(__x86_64__) || defined(__i386__)  // none of them, SSE2: 16 registers, and a factor is loaded, then spread
constexpr int WIDE = 16;
constexpr int TALL = 6;      // the others as for AVX2, for the same reasons
constexpr int PIECE = 256;
constexpr int MANY = 2;
constexpr int SPOTS = 4;
constexpr int TRIPLES = 2;
#else  // other processors: 32 registers of 16 bytes, as 64-bit ARM has them
constexpr int WIDE = 16;
constexpr int TALL = 12;
constexpr int PIECE = 512;
constexpr int MANY = 1;
constexpr int SPOTS = 8;
constexpr int TRIPLES = 9;
#endif
