// How much is worked on at once, by the processor's registers: the one place where these sizes are chosen.
//
// WIDE: bytes of a vector. TALL: rows of a register tile of a product, two vectors wide. PIECE: rows whose inner products
// are summed in their own type. The first block works on MANY vectors of channels at once, at SPOTS positions, and sums
// TRIPLES rows of three taps. The sums of a register tile, its vectors and a factor need no more registers than there
// are, and are enough for the processor not to wait for the last sum.

#if defined(__AVX512F__)  // 32 registers; a factor is a part of its multiplication, so one vector of channels is enough
constexpr int WIDE = 64, TALL = 12, PIECE = 512, MANY = 1, SPOTS = 8, TRIPLES = 9;
#elif defined(__AVX__)  // AVX2: 16 registers, and each factor a load of its own, to be used for two vectors
constexpr int WIDE = 32, TALL = 6, PIECE = 256, MANY = 2, SPOTS = 4, TRIPLES = 2;
#elif defined(__x86_64__) || defined(__i386__)  // none of them, SSE2: 16 registers, factors are loaded and spread out
constexpr int WIDE = 16, TALL = 6, PIECE = 256, MANY = 2, SPOTS = 4, TRIPLES = 2;
#else  // other processors: 32 registers of 16 bytes, as 64-bit ARM has them
constexpr int WIDE = 16, TALL = 12, PIECE = 512, MANY = 1, SPOTS = 8, TRIPLES = 9;
#endif
