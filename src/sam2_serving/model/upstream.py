"""Meta's own predictor over our networks: what tests and tools hold our results against.

Apart from the rest, because it imports torchvision, which takes seconds and which no click needs.
"""

from __future__ import annotations

from sam2.modeling.sam2_base import SAM2Base
from sam2.sam2_image_predictor import SAM2ImagePredictor

from sam2_serving.model.network import feature_sizes


def upstream_predictor(network: SAM2Base) -> SAM2ImagePredictor:
    """Return Meta's own image predictor over `network`, right for any input size.

    The predictor has the feature map sizes of 1024-pixel input written into it; they are set on
    the instance here.
    """
    predictor = SAM2ImagePredictor(network)
    predictor._bb_feat_sizes = feature_sizes(network)
    return predictor
