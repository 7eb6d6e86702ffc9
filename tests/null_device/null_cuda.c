/* A CUDA runtime that computes nothing, to be preloaded under a CUDA build of PyTorch on a machine without a GPU.
 *
 * PyTorch's whole way to the device then runs: dispatch, checks of devices and types, the allocator, streams, the
 * autograd thread of the device, foreach and fused kernels, graphs. Memory is zeros; kernels and library calls are
 * counted and dropped; copies between host and device are made. What it cannot show is numbers and time.
 *
 * Only what has to do something is here. `null_cuda.py` adds an empty function for everything else that PyTorch asks for.
 */
#define _GNU_SOURCE
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <cuda_runtime_api.h>

#define EXPORT __attribute__((visibility("default")))
#define OK cudaSuccess
#define MOST_BLOCKS 65536

/* ---- what is counted: the order is that of COUNTED in null_cuda.py ---- */
enum { LAUNCHES, LIBRARY_CALLS, WAITS, COPIES_IN, COPIES_OUT, GRAPHS, REFUSED, ON_SECOND_DEVICE, KINDS };
EXPORT long null_counts[KINDS];
static void count(int kind) { __atomic_fetch_add(&null_counts[kind], 1, __ATOMIC_RELAXED); }

/* ---- devices ---- */
static __thread int device = 0;
EXPORT cudaError_t cudaGetDeviceCount(int *n) { *n = 2; return OK; }
EXPORT cudaError_t cudaGetDevice(int *n) { *n = device; return OK; }
EXPORT cudaError_t cudaSetDevice(int n) { device = n; return OK; }
EXPORT cudaError_t cudaDriverGetVersion(int *v) { *v = CUDART_VERSION; return OK; }
EXPORT cudaError_t cudaRuntimeGetVersion(int *v) { *v = CUDART_VERSION; return OK; }
EXPORT cudaError_t cudaDeviceGetStreamPriorityRange(int *least, int *greatest) { *least = 0; *greatest = -1; return OK; }
EXPORT cudaError_t cudaDeviceCanAccessPeer(int *can, int from, int to) { *can = 1; return OK; }
EXPORT cudaError_t cudaGetDeviceProperties(struct cudaDeviceProp *p, int n) {
  memset(p, 0, sizeof *p);
  strcpy(p->name, "no GPU");
  p->major = 9;
  p->totalGlobalMem = 64UL << 30;
  p->multiProcessorCount = 100;
  p->warpSize = 32;
  p->maxThreadsPerBlock = p->maxThreadsDim[0] = p->maxThreadsDim[1] = 1024;
  p->maxThreadsDim[2] = 64;
  p->maxThreadsPerMultiProcessor = 2048;
  p->maxBlocksPerMultiProcessor = 32;
  p->maxGridSize[0] = 2147483647;
  p->maxGridSize[1] = p->maxGridSize[2] = 65535;
  p->sharedMemPerBlock = 49152;
  p->sharedMemPerBlockOptin = p->sharedMemPerMultiprocessor = 232448;
  p->regsPerBlock = 65536;
  p->l2CacheSize = 32 << 20;
  p->textureAlignment = 512;
  return OK;
}
EXPORT cudaError_t cudaDeviceGetAttribute(int *value, enum cudaDeviceAttr attribute, int n) {
  struct cudaDeviceProp p;
  cudaGetDeviceProperties(&p, n);
  switch (attribute) {
    case cudaDevAttrComputeCapabilityMajor: *value = p.major; break;
    case cudaDevAttrMultiProcessorCount: *value = p.multiProcessorCount; break;
    case cudaDevAttrMaxThreadsPerBlock: *value = p.maxThreadsPerBlock; break;
    case cudaDevAttrMaxThreadsPerMultiProcessor: *value = p.maxThreadsPerMultiProcessor; break;
    case cudaDevAttrMaxSharedMemoryPerBlock: *value = p.sharedMemPerBlock; break;
    case cudaDevAttrMaxSharedMemoryPerBlockOptin: *value = p.sharedMemPerBlockOptin; break;
    case cudaDevAttrWarpSize: *value = p.warpSize; break;
    case cudaDevAttrMaxGridDimX: *value = p.maxGridSize[0]; break;
    case cudaDevAttrMaxGridDimY: case cudaDevAttrMaxGridDimZ: *value = p.maxGridSize[1]; break;
    case cudaDevAttrMaxBlockDimX: case cudaDevAttrMaxBlockDimY: *value = p.maxThreadsDim[0]; break;
    case cudaDevAttrMaxBlockDimZ: *value = p.maxThreadsDim[2]; break;
    default: *value = 0;
  }
  return OK;
}
EXPORT const char *cudaGetErrorName(cudaError_t e) { return e ? "an error of the null device" : "no error"; }
EXPORT const char *cudaGetErrorString(cudaError_t e) { return cudaGetErrorName(e); }
EXPORT cudaError_t cudaGetDriverEntryPointByVersion(const char *name, void **f, unsigned version, unsigned long long flags,
                                                    enum cudaDriverEntryPointQueryResult *found) {
  *f = NULL;
  if (found) *found = cudaDriverEntryPointSymbolNotFound;
  return OK;
}

/* ---- graphs: while one is recorded, whatever would wait is refused, and so is a kernel that would not be in it ---- */
static int recording = 0;
static cudaStream_t recorded = 0;
static unsigned long long records = 0;
static __thread int relaxed = 0;
static cudaError_t refuse(void) { count(REFUSED); return cudaErrorStreamCaptureUnsupported; }
static cudaError_t waits(void) { count(WAITS); return recording ? refuse() : OK; }
EXPORT cudaError_t cudaStreamBeginCapture(cudaStream_t s, enum cudaStreamCaptureMode m) {
  recording = 1; recorded = s; records++;
  return OK;
}
EXPORT cudaError_t cudaStreamBeginCaptureToGraph(cudaStream_t s, cudaGraph_t g, const cudaGraphNode_t *nodes,
                                                 const cudaGraphEdgeData *edges, size_t n, enum cudaStreamCaptureMode m) {
  return cudaStreamBeginCapture(s, m);
}
EXPORT cudaError_t cudaStreamEndCapture(cudaStream_t s, cudaGraph_t *g) { recording = 0; *g = (cudaGraph_t)8; return OK; }
EXPORT cudaError_t cudaStreamIsCapturing(cudaStream_t s, enum cudaStreamCaptureStatus *status) {
  *status = recording && s == recorded ? cudaStreamCaptureStatusActive : cudaStreamCaptureStatusNone;
  return OK;
}
EXPORT cudaError_t cudaStreamGetCaptureInfo(cudaStream_t s, enum cudaStreamCaptureStatus *status, unsigned long long *id,
                                            cudaGraph_t *g, const cudaGraphNode_t **nodes, const cudaGraphEdgeData **edges,
                                            size_t *n) {
  if (id) *id = records;
  if (g) *g = (cudaGraph_t)8;
  if (nodes) *nodes = NULL;
  if (edges) *edges = NULL;
  if (n) *n = 0;
  return cudaStreamIsCapturing(s, status);
}
EXPORT cudaError_t cudaThreadExchangeStreamCaptureMode(enum cudaStreamCaptureMode *mode) {
  enum cudaStreamCaptureMode before = relaxed ? cudaStreamCaptureModeRelaxed : cudaStreamCaptureModeGlobal;
  relaxed = *mode == cudaStreamCaptureModeRelaxed;
  *mode = before;
  return OK;
}
EXPORT cudaError_t cudaGraphInstantiateWithFlags(cudaGraphExec_t *x, cudaGraph_t g, unsigned long long flags) {
  *x = (cudaGraphExec_t)8;
  return OK;
}
EXPORT cudaError_t cudaGraphLaunch(cudaGraphExec_t x, cudaStream_t s) { count(GRAPHS); return OK; }
EXPORT cudaError_t cudaGraphGetNodes(cudaGraph_t g, cudaGraphNode_t *nodes, size_t *n) { *n = 1; return OK; }

/* ---- kernels ---- */
static cudaError_t launch(cudaStream_t s) {
  count(LAUNCHES);
  if (device == 1) count(ON_SECOND_DEVICE);
  return recording && s != recorded ? refuse() : OK;
}
EXPORT cudaError_t cudaLaunchKernel(const void *f, dim3 grid, dim3 block, void **a, size_t shared, cudaStream_t s) { return launch(s); }
EXPORT cudaError_t __cudaLaunchKernel(cudaKernel_t f, dim3 grid, dim3 block, void **a, size_t shared, cudaStream_t s) { return launch(s); }
EXPORT cudaError_t cudaLaunchKernelExC(const cudaLaunchConfig_t *how, const void *f, void **a) { return launch(how->stream); }
EXPORT cudaError_t __cudaGetKernel(cudaKernel_t *k, const void *f) { *k = (cudaKernel_t)f; return OK; }
EXPORT void **__cudaRegisterFatBinary(void *binary) { static void *handle[4]; return handle; }
static __thread struct { dim3 grid, block; size_t shared; void *stream; } pushed;
EXPORT unsigned __cudaPushCallConfiguration(dim3 grid, dim3 block, size_t shared, void *s) {
  pushed.grid = grid; pushed.block = block; pushed.shared = shared; pushed.stream = s;
  return 0;
}
EXPORT cudaError_t __cudaPopCallConfiguration(dim3 *grid, dim3 *block, size_t *shared, void *s) {
  *grid = pushed.grid; *block = pushed.block; *shared = pushed.shared; *(void **)s = pushed.stream;
  return OK;
}
EXPORT cudaError_t cudaFuncGetAttributes(struct cudaFuncAttributes *a, const void *f) {
  memset(a, 0, sizeof *a);
  a->maxThreadsPerBlock = 1024; a->numRegs = 32; a->ptxVersion = a->binaryVersion = 90;
  return OK;
}
EXPORT cudaError_t cudaOccupancyMaxActiveBlocksPerMultiprocessorWithFlags(int *n, const void *f, int block, size_t shared, unsigned flags) {
  *n = 2;
  return OK;
}
EXPORT cudaError_t cudaGetSymbolAddress(void **p, const void *symbol) { static char room[1 << 16]; *p = room; return OK; }

/* ---- memory: zeros, in a table that tells pointers of the device from others ---- */
static struct { char *start; size_t size; } blocks[MOST_BLOCKS];
static int used = 0;
EXPORT cudaError_t cudaMalloc(void **p, size_t size) {
  char *start = mmap(NULL, size + 1, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
  int slot = __atomic_fetch_add(&used, 1, __ATOMIC_RELAXED);
  if (start == MAP_FAILED || slot >= MOST_BLOCKS) return cudaErrorMemoryAllocation;
  blocks[slot].size = size;
  blocks[slot].start = *p = start;
  return OK;
}
EXPORT cudaError_t cudaFree(void *p) {
  for (int i = 0; i < used; i++)
    if (blocks[i].start == p && p) { blocks[i].start = NULL; munmap(p, blocks[i].size + 1); }
  return OK;
}
EXPORT cudaError_t cudaMemGetInfo(size_t *left, size_t *all) { *left = 60UL << 30; *all = 64UL << 30; return OK; }
EXPORT cudaError_t cudaHostAlloc(void **p, size_t size, unsigned flags) { return posix_memalign(p, 4096, size) ? cudaErrorMemoryAllocation : OK; }
EXPORT cudaError_t cudaFreeHost(void *p) { free(p); return OK; }
EXPORT cudaError_t cudaPointerGetAttributes(struct cudaPointerAttributes *a, const void *p) {
  memset(a, 0, sizeof *a);
  for (int i = 0; i < used; i++)
    if (blocks[i].start && (char *)p >= blocks[i].start && (char *)p < blocks[i].start + blocks[i].size) a->type = cudaMemoryTypeDevice;
  return OK;
}
static void copy(void *to, const void *from, size_t size, enum cudaMemcpyKind kind) {
  if (kind == cudaMemcpyHostToDevice) count(COPIES_IN);
  if (kind == cudaMemcpyDeviceToHost) count(COPIES_OUT);
  memcpy(to, from, size);
}
EXPORT cudaError_t cudaMemcpy(void *to, const void *from, size_t size, enum cudaMemcpyKind kind) { copy(to, from, size, kind); return waits(); }
EXPORT cudaError_t cudaMemcpyAsync(void *to, const void *from, size_t size, enum cudaMemcpyKind kind, cudaStream_t s) {
  copy(to, from, size, kind);
  return OK;
}

/* ---- streams and events ---- */
static long handles = 0x1000;
static void *handle(void) { return (void *)__atomic_add_fetch(&handles, 16, __ATOMIC_RELAXED); }
EXPORT cudaError_t cudaStreamCreateWithPriority(cudaStream_t *s, unsigned flags, int priority) { *s = handle(); return OK; }
EXPORT cudaError_t cudaStreamCreateWithFlags(cudaStream_t *s, unsigned flags) { *s = handle(); return OK; }
EXPORT cudaError_t cudaStreamGetPriority(cudaStream_t s, int *priority) { *priority = 0; return OK; }
EXPORT cudaError_t cudaEventCreateWithFlags(cudaEvent_t *e, unsigned flags) { *e = handle(); return OK; }
EXPORT cudaError_t cudaEventElapsedTime(float *ms, cudaEvent_t from, cudaEvent_t to) { *ms = 1; return OK; }
EXPORT cudaError_t cudaLaunchHostFunc(cudaStream_t s, cudaHostFn_t f, void *data) { f(data); return OK; }
EXPORT cudaError_t cudaDeviceSynchronize(void) { return waits(); }
EXPORT cudaError_t cudaEventSynchronize(cudaEvent_t e) { return waits(); }
EXPORT cudaError_t cudaStreamSynchronize(cudaStream_t s) {
  return recording && s != recorded && (s || relaxed) ? OK : waits(); /* another stream is not what is recorded */
}

/* ---- cuBLAS ---- */
#define PRODUCT(name) EXPORT int name() { count(LIBRARY_CALLS); return 0; }
PRODUCT(cublasSgemm_v2) PRODUCT(cublasDgemm_v2) PRODUCT(cublasGemmEx) PRODUCT(cublasSgemmEx) PRODUCT(cublasSgemv_v2)
PRODUCT(cublasSgemmStridedBatched) PRODUCT(cublasGemmStridedBatchedEx) PRODUCT(cublasSdot_v2) PRODUCT(cublasLtMatmul)
EXPORT int cublasCreate_v2(void **h) { *h = handle(); return 0; }
EXPORT int cublasGetPointerMode_v2(void *h, int *mode) { *mode = 0; return 0; }
EXPORT int cublasGetMathMode(void *h, int *mode) { *mode = 0; return 0; }
EXPORT int cublasLtMatmulDescCreate(void **p) { *p = handle(); return 0; }
EXPORT int cublasLtMatrixLayoutCreate(void **p) { *p = handle(); return 0; }
EXPORT int cublasLtMatmulPreferenceCreate(void **p) { *p = handle(); return 0; }
EXPORT int cublasLtMatmulAlgoGetHeuristic(void *h, void *d, void *a, void *b, void *c, void *e, void *p, int wanted, void *found, int *n) {
  memset(found, 0, 64);
  *n = 1;
  return 0;
}
