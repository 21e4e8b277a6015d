"""All dialects, in the order in which they are shown."""

from rewards.serve.dialects.clouds import AWS, GOOGLE
from rewards.serve.dialects.native import NATIVE
from rewards.serve.dialects.nemo_gym import NEMO_GYM
from rewards.serve.dialects.openrlhf import OPENRLHF
from rewards.serve.dialects.slime import SLIME, SLIME_NUMBER

DIALECTS = (NATIVE, OPENRLHF, SLIME, SLIME_NUMBER, NEMO_GYM, GOOGLE, AWS)
