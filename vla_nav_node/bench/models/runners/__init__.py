"""What runs a model that is measured: ours, an ONNX file, a TorchScript file."""
