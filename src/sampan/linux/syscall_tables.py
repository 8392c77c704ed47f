"""Facts of the kernel's interface: the numbers of the system calls, and how wide their arguments are.

Numbers up to Linux 7.0, from the kernel's own tables (`arch/*/entry/syscalls`, `scripts/syscall.tbl`). A line is a
number and the names that it and its successors have. Widths are those of the C prototypes of
Linux 6.18: a `-` is 64 bits (a pointer, long, size_t), `w` 32 (int, pid_t, flags), `h` 16 (umode_t).
"""

from __future__ import annotations

from functools import cache

X32_BIT = 0x40000000

_X86_64_AND_X32 = """
0 read write open close stat fstat lstat poll lseek mmap mprotect munmap brk
14 rt_sigprocmask
17 pread64 pwrite64
21 access pipe select sched_yield mremap msync mincore madvise shmget shmat shmctl dup dup2 pause nanosleep
36 getitimer alarm setitimer getpid sendfile socket connect accept sendto
48 shutdown bind listen getsockname getpeername socketpair
56 clone fork vfork
60 exit wait4 kill uname semget semop semctl shmdt msgget msgsnd msgrcv msgctl fcntl flock fsync fdatasync
76 truncate ftruncate getdents getcwd chdir fchdir rename mkdir rmdir creat link unlink symlink readlink chmod
91 fchmod chown fchown lchown umask gettimeofday getrlimit getrusage sysinfo times
102 getuid syslog getgid setuid setgid geteuid getegid setpgid getppid getpgrp setsid setreuid setregid
115 getgroups setgroups setresuid getresuid setresgid getresgid getpgid setfsuid setfsgid getsid capget capset
130 rt_sigsuspend
132 utime mknod
135 personality ustat statfs fstatfs sysfs getpriority setpriority sched_setparam sched_getparam
144 sched_setscheduler sched_getscheduler sched_get_priority_max sched_get_priority_min sched_rr_get_interval
149 mlock munlock mlockall munlockall vhangup modify_ldt pivot_root
157 prctl arch_prctl adjtimex setrlimit chroot sync acct settimeofday mount umount2 swapon swapoff reboot
170 sethostname setdomainname iopl ioperm
175 init_module delete_module
179 quotactl
181 getpmsg putpmsg afs_syscall tuxcall security gettid readahead setxattr lsetxattr fsetxattr getxattr
192 lgetxattr fgetxattr listxattr llistxattr flistxattr removexattr lremovexattr fremovexattr tkill time futex
203 sched_setaffinity sched_getaffinity
207 io_destroy io_getevents
210 io_cancel
212 lookup_dcookie epoll_create
216 remap_file_pages getdents64 set_tid_address restart_syscall semtimedop fadvise64
223 timer_settime timer_gettime timer_getoverrun timer_delete clock_settime clock_gettime clock_getres
230 clock_nanosleep exit_group epoll_wait epoll_ctl tgkill utimes
237 mbind set_mempolicy get_mempolicy mq_open mq_unlink mq_timedsend mq_timedreceive
245 mq_getsetattr
248 add_key request_key keyctl ioprio_set ioprio_get inotify_init inotify_add_watch inotify_rm_watch
256 migrate_pages openat mkdirat mknodat fchownat futimesat newfstatat unlinkat renameat linkat symlinkat
267 readlinkat fchmodat faccessat pselect6 ppoll unshare
275 splice tee sync_file_range
280 utimensat epoll_pwait signalfd timerfd_create eventfd fallocate timerfd_settime timerfd_gettime accept4
289 signalfd4 eventfd2 epoll_create1 dup3 pipe2 inotify_init1
298 perf_event_open
300 fanotify_init fanotify_mark prlimit64 name_to_handle_at open_by_handle_at clock_adjtime syncfs
308 setns getcpu
312 kcmp finit_module sched_setattr sched_getattr renameat2 seccomp getrandom memfd_create kexec_file_load bpf
323 userfaultfd membarrier mlock2 copy_file_range
329 pkey_mprotect pkey_alloc pkey_free statx io_pgetevents rseq uretprobe uprobe
424 pidfd_send_signal io_uring_setup io_uring_enter io_uring_register open_tree move_mount fsopen fsconfig
432 fsmount fspick pidfd_open clone3 close_range openat2 pidfd_getfd faccessat2 process_madvise epoll_pwait2
442 mount_setattr quotactl_fd landlock_create_ruleset landlock_add_rule landlock_restrict_self memfd_secret
448 process_mrelease futex_waitv set_mempolicy_home_node cachestat fchmodat2
454 futex_wake futex_wait futex_requeue statmount listmount lsm_get_self_attr lsm_set_self_attr
461 lsm_list_modules mseal setxattrat getxattrat listxattrat removexattrat open_tree_attr file_getattr
469 file_setattr listns rseq_slice_yield
"""

_X86_64_ONLY = """
13 rt_sigaction
15 rt_sigreturn ioctl
19 readv writev
45 recvfrom sendmsg recvmsg
54 setsockopt getsockopt
59 execve
101 ptrace
127 rt_sigpending rt_sigtimedwait rt_sigqueueinfo
131 sigaltstack
134 uselib
156 _sysctl
174 create_module
177 get_kernel_syms query_module
180 nfsservctl
205 set_thread_area io_setup
209 io_submit
211 get_thread_area
214 epoll_ctl_old epoll_wait_old
222 timer_create
236 vserver
244 mq_notify
246 kexec_load waitid
273 set_robust_list get_robust_list
278 vmsplice move_pages
295 preadv pwritev rt_tgsigqueueinfo
299 recvmmsg
307 sendmmsg
310 process_vm_readv process_vm_writev
322 execveat
327 preadv2 pwritev2
453 map_shadow_stack
"""

# To be added to X32_BIT.
_X32_ONLY = """
512 rt_sigaction rt_sigreturn ioctl readv writev recvfrom sendmsg recvmsg execve ptrace rt_sigpending
523 rt_sigtimedwait rt_sigqueueinfo sigaltstack timer_create mq_notify kexec_load waitid set_robust_list
531 get_robust_list vmsplice move_pages preadv pwritev rt_tgsigqueueinfo recvmmsg sendmmsg process_vm_readv
540 process_vm_writev setsockopt getsockopt io_setup io_submit execveat preadv2 pwritev2
"""

_X86 = """
0 restart_syscall exit fork read write open close waitpid creat link unlink execve chdir time mknod chmod
16 lchown break oldstat lseek getpid mount umount setuid getuid stime ptrace alarm oldfstat pause utime stty
32 gtty access nice ftime sync kill rename mkdir rmdir dup pipe times prof brk setgid getgid signal geteuid
50 getegid acct umount2 lock ioctl fcntl mpx setpgid ulimit oldolduname umask chroot ustat dup2 getppid
65 getpgrp setsid sigaction sgetmask ssetmask setreuid setregid sigsuspend sigpending sethostname setrlimit
76 getrlimit getrusage gettimeofday settimeofday getgroups setgroups select symlink oldlstat readlink uselib
87 swapon reboot readdir mmap munmap truncate ftruncate fchmod fchown getpriority setpriority profil statfs
100 fstatfs ioperm socketcall syslog setitimer getitimer stat lstat fstat olduname iopl vhangup idle vm86old
114 wait4 swapoff sysinfo ipc fsync sigreturn clone setdomainname uname modify_ldt adjtimex mprotect
126 sigprocmask create_module init_module delete_module get_kernel_syms quotactl getpgid fchdir bdflush sysfs
136 personality afs_syscall setfsuid setfsgid _llseek getdents _newselect flock msync readv writev getsid
148 fdatasync _sysctl mlock munlock mlockall munlockall sched_setparam sched_getparam sched_setscheduler
157 sched_getscheduler sched_yield sched_get_priority_max sched_get_priority_min sched_rr_get_interval
162 nanosleep mremap setresuid getresuid vm86 query_module poll nfsservctl setresgid getresgid prctl
173 rt_sigreturn rt_sigaction rt_sigprocmask rt_sigpending rt_sigtimedwait rt_sigqueueinfo rt_sigsuspend
180 pread64 pwrite64 chown getcwd capget capset sigaltstack sendfile getpmsg putpmsg vfork ugetrlimit mmap2
193 truncate64 ftruncate64 stat64 lstat64 fstat64 lchown32 getuid32 getgid32 geteuid32 getegid32 setreuid32
204 setregid32 getgroups32 setgroups32 fchown32 setresuid32 getresuid32 setresgid32 getresgid32 chown32
213 setuid32 setgid32 setfsuid32 setfsgid32 pivot_root mincore madvise getdents64 fcntl64
224 gettid readahead setxattr lsetxattr fsetxattr getxattr lgetxattr fgetxattr listxattr llistxattr flistxattr
235 removexattr lremovexattr fremovexattr tkill sendfile64 futex sched_setaffinity sched_getaffinity
243 set_thread_area get_thread_area io_setup io_destroy io_getevents io_submit io_cancel fadvise64
252 exit_group lookup_dcookie epoll_create epoll_ctl epoll_wait remap_file_pages set_tid_address timer_create
260 timer_settime timer_gettime timer_getoverrun timer_delete clock_settime clock_gettime clock_getres
267 clock_nanosleep statfs64 fstatfs64 tgkill utimes fadvise64_64 vserver mbind get_mempolicy set_mempolicy
277 mq_open mq_unlink mq_timedsend mq_timedreceive mq_notify mq_getsetattr kexec_load waitid
286 add_key request_key keyctl ioprio_set ioprio_get inotify_init inotify_add_watch inotify_rm_watch
294 migrate_pages openat mkdirat mknodat fchownat futimesat fstatat64 unlinkat renameat linkat symlinkat
305 readlinkat fchmodat faccessat pselect6 ppoll unshare set_robust_list get_robust_list splice
314 sync_file_range tee vmsplice move_pages getcpu epoll_pwait utimensat signalfd timerfd_create eventfd
324 fallocate timerfd_settime timerfd_gettime signalfd4 eventfd2 epoll_create1 dup3 pipe2 inotify_init1 preadv
334 pwritev rt_tgsigqueueinfo perf_event_open recvmmsg fanotify_init fanotify_mark prlimit64 name_to_handle_at
342 open_by_handle_at clock_adjtime syncfs sendmmsg setns process_vm_readv process_vm_writev kcmp finit_module
351 sched_setattr sched_getattr renameat2 seccomp getrandom memfd_create bpf execveat socket socketpair bind
362 connect listen accept4 getsockopt setsockopt getsockname getpeername sendto sendmsg recvfrom recvmsg
373 shutdown userfaultfd membarrier mlock2 copy_file_range preadv2 pwritev2 pkey_mprotect pkey_alloc pkey_free
383 statx arch_prctl io_pgetevents rseq
393 semget semctl shmget shmctl shmat shmdt msgget msgsnd msgrcv msgctl clock_gettime64 clock_settime64
405 clock_adjtime64 clock_getres_time64 clock_nanosleep_time64 timer_gettime64 timer_settime64
410 timerfd_gettime64 timerfd_settime64 utimensat_time64 pselect6_time64 ppoll_time64
416 io_pgetevents_time64 recvmmsg_time64 mq_timedsend_time64 mq_timedreceive_time64 semtimedop_time64
421 rt_sigtimedwait_time64 futex_time64 sched_rr_get_interval_time64 pidfd_send_signal io_uring_setup
426 io_uring_enter io_uring_register open_tree move_mount fsopen fsconfig fsmount fspick pidfd_open clone3
436 close_range openat2 pidfd_getfd faccessat2 process_madvise epoll_pwait2 mount_setattr quotactl_fd
444 landlock_create_ruleset landlock_add_rule landlock_restrict_self memfd_secret process_mrelease futex_waitv
450 set_mempolicy_home_node cachestat fchmodat2 map_shadow_stack futex_wake futex_wait futex_requeue statmount
458 listmount lsm_get_self_attr lsm_set_self_attr lsm_list_modules mseal setxattrat getxattrat listxattrat
466 removexattrat open_tree_attr file_getattr file_setattr listns rseq_slice_yield
"""

_AARCH64 = """
0 io_setup io_destroy io_submit io_cancel io_getevents setxattr lsetxattr fsetxattr getxattr lgetxattr
10 fgetxattr listxattr llistxattr flistxattr removexattr lremovexattr fremovexattr getcwd lookup_dcookie
19 eventfd2 epoll_create1 epoll_ctl epoll_pwait dup dup3 fcntl inotify_init1 inotify_add_watch
28 inotify_rm_watch ioctl ioprio_set ioprio_get flock mknodat mkdirat unlinkat symlinkat linkat renameat
39 umount2 mount pivot_root nfsservctl statfs fstatfs truncate ftruncate fallocate faccessat chdir fchdir
51 chroot fchmod fchmodat fchownat fchown openat close vhangup pipe2 quotactl getdents64 lseek read write
65 readv writev pread64 pwrite64 preadv pwritev sendfile pselect6 ppoll signalfd4 vmsplice splice tee
78 readlinkat newfstatat fstat sync fsync fdatasync sync_file_range timerfd_create timerfd_settime
87 timerfd_gettime utimensat acct capget capset personality exit exit_group waitid set_tid_address unshare
98 futex set_robust_list get_robust_list nanosleep getitimer setitimer kexec_load init_module delete_module
107 timer_create timer_gettime timer_getoverrun timer_settime timer_delete clock_settime clock_gettime
114 clock_getres clock_nanosleep syslog ptrace sched_setparam sched_setscheduler sched_getscheduler
121 sched_getparam sched_setaffinity sched_getaffinity sched_yield sched_get_priority_max
126 sched_get_priority_min sched_rr_get_interval restart_syscall kill tkill tgkill sigaltstack rt_sigsuspend
134 rt_sigaction rt_sigprocmask rt_sigpending rt_sigtimedwait rt_sigqueueinfo rt_sigreturn setpriority
141 getpriority reboot setregid setgid setreuid setuid setresuid getresuid setresgid getresgid setfsuid
152 setfsgid times setpgid getpgid getsid setsid getgroups setgroups uname sethostname setdomainname getrlimit
164 setrlimit getrusage umask prctl getcpu gettimeofday settimeofday adjtimex getpid getppid getuid geteuid
176 getgid getegid gettid sysinfo mq_open mq_unlink mq_timedsend mq_timedreceive mq_notify mq_getsetattr
186 msgget msgctl msgrcv msgsnd semget semctl semtimedop semop shmget shmctl shmat shmdt socket socketpair
200 bind listen accept connect getsockname getpeername sendto recvfrom setsockopt getsockopt shutdown sendmsg
212 recvmsg readahead brk munmap mremap add_key request_key keyctl clone execve mmap fadvise64 swapon swapoff
226 mprotect msync mlock munlock mlockall munlockall mincore madvise remap_file_pages mbind get_mempolicy
237 set_mempolicy migrate_pages move_pages rt_tgsigqueueinfo perf_event_open accept4 recvmmsg
260 wait4 prlimit64 fanotify_init fanotify_mark name_to_handle_at open_by_handle_at clock_adjtime syncfs setns
269 sendmmsg process_vm_readv process_vm_writev kcmp finit_module sched_setattr sched_getattr renameat2
277 seccomp getrandom memfd_create bpf execveat userfaultfd membarrier mlock2 copy_file_range preadv2 pwritev2
288 pkey_mprotect pkey_alloc pkey_free statx io_pgetevents rseq kexec_file_load
424 pidfd_send_signal io_uring_setup io_uring_enter io_uring_register open_tree move_mount fsopen fsconfig
432 fsmount fspick pidfd_open clone3 close_range openat2 pidfd_getfd faccessat2 process_madvise epoll_pwait2
442 mount_setattr quotactl_fd landlock_create_ruleset landlock_add_rule landlock_restrict_self memfd_secret
448 process_mrelease futex_waitv set_mempolicy_home_node cachestat fchmodat2 map_shadow_stack futex_wake
455 futex_wait futex_requeue statmount listmount lsm_get_self_attr lsm_set_self_attr lsm_list_modules mseal
463 setxattrat getxattrat listxattrat removexattrat open_tree_attr file_getattr file_setattr listns
471 rseq_slice_yield
"""

_ARM = """
0 restart_syscall exit fork read write open close
8 creat link unlink execve chdir
14 mknod chmod lchown
19 lseek getpid mount
23 setuid getuid
26 ptrace
29 pause
33 access nice
36 sync kill rename mkdir rmdir dup pipe times
45 brk setgid getgid
49 geteuid getegid acct umount2
54 ioctl fcntl
57 setpgid
60 umask chroot ustat dup2 getppid getpgrp setsid sigaction
70 setreuid setregid sigsuspend sigpending sethostname setrlimit
77 getrusage gettimeofday settimeofday getgroups setgroups
83 symlink
85 readlink uselib swapon reboot
91 munmap truncate ftruncate fchmod fchown getpriority setpriority
99 statfs fstatfs
103 syslog setitimer getitimer stat lstat fstat
111 vhangup
114 wait4 swapoff sysinfo
118 fsync sigreturn clone setdomainname uname
124 adjtimex mprotect sigprocmask
128 init_module delete_module
131 quotactl getpgid fchdir bdflush sysfs personality
138 setfsuid setfsgid _llseek getdents _newselect flock msync readv writev getsid fdatasync _sysctl mlock
151 munlock mlockall munlockall sched_setparam sched_getparam sched_setscheduler sched_getscheduler
158 sched_yield sched_get_priority_max sched_get_priority_min sched_rr_get_interval nanosleep mremap setresuid
165 getresuid
168 poll nfsservctl setresgid getresgid prctl rt_sigreturn rt_sigaction rt_sigprocmask rt_sigpending
177 rt_sigtimedwait rt_sigqueueinfo rt_sigsuspend pread64 pwrite64 chown getcwd capget capset sigaltstack
187 sendfile
190 vfork ugetrlimit mmap2 truncate64 ftruncate64 stat64 lstat64 fstat64 lchown32 getuid32 getgid32 geteuid32
202 getegid32 setreuid32 setregid32 getgroups32 setgroups32 fchown32 setresuid32 getresuid32 setresgid32
211 getresgid32 chown32 setuid32 setgid32 setfsuid32 setfsgid32 getdents64 pivot_root mincore madvise fcntl64
224 gettid readahead setxattr lsetxattr fsetxattr getxattr lgetxattr fgetxattr listxattr llistxattr flistxattr
235 removexattr lremovexattr fremovexattr tkill sendfile64 futex sched_setaffinity sched_getaffinity io_setup
244 io_destroy io_getevents io_submit io_cancel exit_group lookup_dcookie epoll_create epoll_ctl epoll_wait
253 remap_file_pages
256 set_tid_address timer_create timer_settime timer_gettime timer_getoverrun timer_delete clock_settime
263 clock_gettime clock_getres clock_nanosleep statfs64 fstatfs64 tgkill utimes arm_fadvise64_64
271 pciconfig_iobase pciconfig_read pciconfig_write mq_open mq_unlink mq_timedsend mq_timedreceive mq_notify
279 mq_getsetattr waitid socket bind connect listen accept getsockname getpeername socketpair send sendto recv
292 recvfrom shutdown setsockopt getsockopt sendmsg recvmsg semop semget semctl msgsnd msgrcv msgget msgctl
305 shmat shmdt shmget shmctl add_key request_key keyctl semtimedop vserver ioprio_set ioprio_get inotify_init
317 inotify_add_watch inotify_rm_watch mbind get_mempolicy set_mempolicy openat mkdirat mknodat fchownat
326 futimesat fstatat64 unlinkat renameat linkat symlinkat readlinkat fchmodat faccessat pselect6 ppoll
337 unshare set_robust_list get_robust_list splice arm_sync_file_range tee vmsplice move_pages getcpu
346 epoll_pwait kexec_load utimensat signalfd timerfd_create eventfd fallocate timerfd_settime timerfd_gettime
355 signalfd4 eventfd2 epoll_create1 dup3 pipe2 inotify_init1 preadv pwritev rt_tgsigqueueinfo perf_event_open
365 recvmmsg accept4 fanotify_init fanotify_mark prlimit64 name_to_handle_at open_by_handle_at clock_adjtime
373 syncfs sendmmsg setns process_vm_readv process_vm_writev kcmp finit_module sched_setattr sched_getattr
382 renameat2 seccomp getrandom memfd_create bpf execveat userfaultfd membarrier mlock2 copy_file_range
392 preadv2 pwritev2 pkey_mprotect pkey_alloc pkey_free statx rseq io_pgetevents migrate_pages kexec_file_load
403 clock_gettime64 clock_settime64 clock_adjtime64 clock_getres_time64 clock_nanosleep_time64 timer_gettime64
409 timer_settime64 timerfd_gettime64 timerfd_settime64 utimensat_time64 pselect6_time64 ppoll_time64
416 io_pgetevents_time64 recvmmsg_time64 mq_timedsend_time64 mq_timedreceive_time64 semtimedop_time64
421 rt_sigtimedwait_time64 futex_time64 sched_rr_get_interval_time64 pidfd_send_signal io_uring_setup
426 io_uring_enter io_uring_register open_tree move_mount fsopen fsconfig fsmount fspick pidfd_open clone3
436 close_range openat2 pidfd_getfd faccessat2 process_madvise epoll_pwait2 mount_setattr quotactl_fd
444 landlock_create_ruleset landlock_add_rule landlock_restrict_self
448 process_mrelease futex_waitv set_mempolicy_home_node cachestat fchmodat2 map_shadow_stack futex_wake
455 futex_wait futex_requeue statmount listmount lsm_get_self_attr lsm_set_self_attr lsm_list_modules mseal
463 setxattrat getxattrat listxattrat removexattrat open_tree_attr file_getattr file_setattr listns
471 rseq_slice_yield
983041 breakpoint cacheflush usr26 usr32 set_tls get_tls
"""

_TABLES = {
    "x86_64": _X86_64_AND_X32 + _X86_64_ONLY,
    "x32": _X86_64_AND_X32 + _X32_ONLY,
    "x86": _X86,
    "aarch64": _AARCH64,
    "arm": _ARM,
}

# `clone` takes an unsigned long and looks at its low half only (`lower_32_bits` in kernel/fork.c).
_WIDTHS = """
-----w mbind preadv2 pwritev2
----w add_key lsetxattr setxattr
---w listmount listns pkey_mprotect request_key statmount
---w-w futex_wait
--w getrandom ioperm landlock_create_ruleset lsm_list_modules madvise map_shadow_stack mlock2 msync readlink
--ww futex_wake
-h chmod creat mkdir
-hw mknod
-w access delete_module fsopen memfd_create pipe2 ppoll setdomainname sethostname swapon symlinkat umount2
-wh mq_open open
-ww chown lchown poll
-ww--w futex
-ww-w futex_waitv
-www futex_requeue perf_event_open rseq
w accept alarm arch_prctl clock_adjtime clock_getres clock_gettime clock_settime clone close dup epoll_create
w epoll_create1 eventfd exit exit_group fchdir fdatasync fgetxattr flistxattr fremovexattr fstat fstatfs fsync
w ftruncate futimesat get_robust_list getgroups getitimer getpeername getpgid getrlimit getrusage getsid
w getsockname inotify_init1 io_setup io_uring_setup iopl keyctl memfd_secret migrate_pages mlockall modify_ldt
w mq_getsetattr mq_notify mq_timedreceive openat2 personality pkey_free prctl pread64 process_vm_readv
w process_vm_writev pselect6 pwrite64 read readahead rt_sigaction rt_sigprocmask sched_get_priority_max
w sched_get_priority_min sched_getparam sched_getscheduler sched_rr_get_interval sched_setparam select
w set_mempolicy setfsgid setfsuid setgid setgroups setitimer setrlimit setuid signalfd socketcall syncfs sysfs
w timer_create timer_delete timer_getoverrun timer_gettime timerfd_gettime umask userfaultfd ustat write
w----w move_pages
w---w execveat file_getattr file_setattr fsetxattr msgrcv name_to_handle_at
w--w accept4 cachestat fadvise64 lsm_get_self_attr mq_timedsend msgsnd newfstatat readlinkat recvfrom signalfd4
w--w sync_file_range utimensat vmsplice
w--w-w sendto
w--ww process_madvise
w-h fchmodat mkdirat
w-hw fchmodat2 mknodat
w-w bind bpf connect epoll_pwait2 faccessat finit_module fspick getdents getdents64 getxattrat inotify_add_watch
w-w listxattrat lseek mount_setattr open_by_handle_at open_tree open_tree_attr quotactl recvmsg removexattrat
w-w renameat sched_setattr semop semtimedop sendmsg setxattrat shmat shmget syslog unlinkat wait4
w-w--w copy_file_range splice
w-w-w linkat move_mount renameat2
w-wh openat
w-ww epoll_pwait epoll_wait faccessat2 lsm_set_self_attr recvmmsg sched_getattr sendmmsg statx
w-www fchownat
wh fchmod
ww clock_nanosleep dup2 eventfd2 fallocate fanotify_init fcntl flock getpriority inotify_rm_watch ioctl
ww ioprio_get kexec_file_load kill landlock_restrict_self listen msgctl msgget pidfd_open prlimit64
ww process_mrelease rt_sigqueueinfo sched_getaffinity sched_setaffinity sched_setscheduler seccomp sendfile
ww setns setpgid setregid setreuid shmctl shutdown timer_settime timerfd_create timerfd_settime tkill
ww--w fsconfig
ww-w fanotify_mark io_uring_register landlock_add_rule pidfd_send_signal tee waitid
www close_range dup3 epoll_ctl fchown fsmount getsockopt ioprio_set kcmp membarrier pidfd_getfd quotactl_fd
www reboot rt_tgsigqueueinfo semctl semget setpriority setresgid setresuid socket socketpair tgkill
www-w setsockopt
wwww io_uring_enter
"""

# On 32-bit machines the old names are the calls with 16-bit ids; the wide ones end in 32.
_WIDTHS_32 = """
-hh chown lchown
h setuid setgid setfsuid setfsgid
hh setreuid setregid
hhh setresuid setresgid
whh fchown
"""

_BITS = {"-": 64, "w": 32, "h": 16}

# Calls that a 32-bit x86 or ARM program may also make through one multiplexer, by its first argument.
MULTIPLEXED = {
    "socketcall": (
        *("", "socket", "bind", "connect", "listen", "accept", "getsockname", "getpeername"),
        *(
            "socketpair",
            "send",
            "recv",
            "sendto",
            "recvfrom",
            "shutdown",
            "setsockopt",
            "getsockopt",
        ),
        *("sendmsg", "recvmsg", "accept4", "recvmmsg", "sendmmsg"),
    ),
    "ipc": (
        *(
            "",
            "semop",
            "semget",
            "semctl",
            "semtimedop",
            "",
            "",
            "",
            "",
            "",
            "",
            "msgsnd",
            "msgrcv",
        ),
        *("msgget", "msgctl", "", "", "", "", "", "", "shmat", "shmdt", "shmget", "shmctl"),
    ),
}


@cache
def numbers(arch: str) -> dict[str, int]:
    """Name → number on `arch` ("x86_64", "x86", "x32", "aarch64", "arm"). `KeyError` for another."""
    base = X32_BIT if arch == "x32" else 0
    table: dict[str, int] = {}
    for line in _TABLES[arch].split("\n"):
        first, *names = line.split() or [""]
        for offset, name in enumerate(names):
            table[name] = base + int(first) + offset
    return table


@cache
def widths(arch: str) -> dict[str, tuple[int, ...]]:
    """Name → bits of each argument that the kernel looks at, up to the last that is not 64.

    On a 32-bit `arch` no argument has more than 32.
    """
    table: dict[str, tuple[int, ...]] = {}
    narrow = arch in ("x86", "arm")
    for line in (_WIDTHS + (_WIDTHS_32 if narrow else "")).split("\n"):
        pattern, *names = line.split() or [""]
        bits = tuple(_BITS[letter] for letter in pattern)
        table.update(dict.fromkeys(names, bits))
    return table
