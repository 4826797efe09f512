"""The synthetic arena: a rendered mouse with exact keypoints."""
