"""Operations on arrays that models, measures and preprocessing share.

None knows of files, models or training.
"""
