"""Operations inside a user's module that run otherwise than torch would: norms, convolutions."""
