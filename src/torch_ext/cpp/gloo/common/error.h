// See ../README.md.

#pragma once

#include <exception>
