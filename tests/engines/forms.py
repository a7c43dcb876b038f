"""The engines and precisions that come with tunewright, for classifiers."""

FORMS = (
    "transformers:fp32",
    "transformers:bf16",
    "openvino:fp32",
    "openvino:bf16",
    "openvino:int8",
    "openvino:int8-bf16",
    "ctranslate2:fp32",
    "ctranslate2:int8",
    "onnx:fp32",
    "onnx:int8",
)
