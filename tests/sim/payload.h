/* payload.h: the payload of a simulated job: made of its number and length alone, so that whoever
 * finds one can say whether it is unaltered. */
#ifndef QUPLOG_SIM_PAYLOAD_H
#define QUPLOG_SIM_PAYLOAD_H

#include <stddef.h>
#include <stdint.h>

/* Fill `out` with the payload of the n-th job that is put. */
void payload_make(char *out, size_t length, uint64_t number);

#endif
