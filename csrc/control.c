/* control.c: see control.h. */
#include "control.h"

void control_wake_all(const struct io *io, struct control *control)
{
    control_bump(io, &control->work, CONTROL_ALL);
    control_bump(io, &control->attention, CONTROL_ALL);
    control_bump(io, &control->durable, CONTROL_ALL);
    control_bump(io, &control->flush, CONTROL_ALL);
    control_bump(io, &control->finished, CONTROL_ALL);
    for (int i = 0; i < CONTROL_RESULTS; i++)
        control_bump(io, &control->results[i], CONTROL_ALL);
}
