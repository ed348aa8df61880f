"""Operations on arrays that models, measures and preprocessing share; none knows of files, models or
training."""
