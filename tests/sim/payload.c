/* payload.c: see payload.h. */
#include "payload.h"

#include <stdio.h>

void payload_make(char *out, size_t length, uint64_t number)
{
    char text[32];
    int used = snprintf(text, sizeof text, "job %llu.", (unsigned long long)number);
    for (size_t i = 0; i < length; i++)
        out[i] = i < (size_t)used ? text[i] : (char)(1 + (number * 31 + i * 7) % 251);
}
