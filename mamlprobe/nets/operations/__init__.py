"""Operations inside a user's module that replace those of torch: norms, convolutions."""
