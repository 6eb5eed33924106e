// One translation unit: libtorch's headers take far longer to compile than everything here.

#include "dropout.cpp"

#include "attention.cpp"
#include "device.cpp"
#include "fused_adam.cpp"
#include "fused_attention.cpp"
#include "layer_norm.cpp"
