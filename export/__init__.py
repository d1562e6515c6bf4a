"""The export stage: networks and foreign ONNX files become self-contained model files with a contract."""
