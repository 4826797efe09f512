"""Models and what surrounds them: boxes, crops, heatmaps, context windows, and ONNX Runtime."""
