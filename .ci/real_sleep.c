/* Waits as the kernel counts time, beside libfaketime.
 *
 * libfaketime 0.9.10 answers EINVAL to a sleep until a moment of the monotonic clock that has just passed, even where it
 * is told to leave that clock alone. Python raises OSError then. Loaded in front of libfaketime, this one asks the kernel.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

int clock_nanosleep(clockid_t clock, int flags, const struct timespec *request, struct timespec *remain)
{
    return syscall(SYS_clock_nanosleep, clock, flags, request, remain) == 0 ? 0 : errno;
}
