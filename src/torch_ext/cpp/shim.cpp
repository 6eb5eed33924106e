// One translation unit: libtorch's headers take far longer to compile than everything here.

#include "attention.cpp"
#include "device.cpp"
#include "dropout.cpp"
#include "fused_attention.cpp"
#include "fused_adam.cpp"
#include "layer_norm.cpp"
