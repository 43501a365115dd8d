"""Serves the net by a custom runtime of MLServer: base64 in V2 JSON, workers, adaptive batching.

https://docs.seldon.ai/mlserver/user-guide/custom
"""

from mlserver import MLModel
from mlserver.codecs import Base64Codec, StringCodec
from mlserver.types import InferenceRequest, InferenceResponse
from net import Net


class Classifier(MLModel):
    """The most probable identity of an image."""

    async def load(self) -> bool:
        """Loads the net in a worker."""
        self._net = Net()
        return True

    async def predict(self, payload: InferenceRequest) -> InferenceResponse:
        """Labels the images of one request, or of several that were joined."""
        files = Base64Codec.decode_input(payload.inputs[0])
        labels = self._net.labels([self._net.decode(file) for file in files])
        outputs = [StringCodec.encode_output("label", labels)]
        return InferenceResponse(model_name=self.name, outputs=outputs)
