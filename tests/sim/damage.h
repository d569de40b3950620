/* damage.h: everything that can happen to the files of a log, by number.
 *
 * Damages come in families: all flipped bits, all lengths to which a file can be cut, and so on. A
 * family counts its damages of a reference log, and carries out any one of them on a copy. What is
 * left to chance (the bytes of garbage) is drawn from `chance`, which belongs to the number.
 */
#ifndef QUPLOG_SIM_DAMAGE_H
#define QUPLOG_SIM_DAMAGE_H

#include "reference.h"

/* A segment of the reference log, as it is in the copy. */
struct exhibit_file {
    const unsigned char *bytes; /* NULL: it is not there, or is no file */
    size_t size;
    bool changed;
    bool moved; /* its bytes stand under another name */
};

struct exhibit {
    const struct reference *reference;
    const struct reference *foreign; /* another log, written by the same script */
    struct disk *disk;
    struct exhibit_file files[REFERENCE_FILES];
    unsigned char *own[REFERENCE_FILES]; /* bytes that changed */
    bool strange;  /* files stand there that the log did not write: it may be refused for that */
    bool hindered; /* something is no file, or can't be made: a negative errno is an answer */
    char text[160];
};

struct damage_family {
    const char *name;
    uint64_t (*count)(const struct reference *reference);
    void (*apply)(struct exhibit *exhibit, uint64_t index, uint64_t *chance);
};

extern const struct damage_family DAMAGE_FAMILIES[];
extern const size_t DAMAGE_FAMILY_COUNT;

/* A copy of the reference with one damage. */
void exhibit_make(struct exhibit *out, const struct reference *reference,
                  const struct reference *foreign, const struct damage_family *family,
                  uint64_t index, uint64_t chance);
void exhibit_free(struct exhibit *exhibit);

#endif
