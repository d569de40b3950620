/* crc32c.h: CRC-32C (Castagnoli), the checksum of every byte that quplog keeps.
 *
 * crc32c(crc, data, n) continues `crc` (0 to begin) over n bytes and returns the finished sum, so
 * crc32c(crc32c(0, a), b) == crc32c(0, ab). It uses the processor's instruction where there is one
 * (SSE4.2, ARMv8) and a table elsewhere. Pure; any thread.
 */
#ifndef QUPLOG_CRC32C_H
#define QUPLOG_CRC32C_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

uint32_t crc32c(uint32_t crc, const void *data, size_t length);

/* The table version, whatever the processor can do: what the others are tested against. */
uint32_t crc32c_portable(uint32_t crc, const void *data, size_t length);

/* Both versions against known values (RFC 3720) and each other; asked once at every open. */
bool crc32c_self_test(void);

/* "sse4.2", "armv8" or "table". */
const char *crc32c_name(void);

#endif
