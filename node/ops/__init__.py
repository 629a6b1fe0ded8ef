"""Operations listener: health, metrics, logs."""
