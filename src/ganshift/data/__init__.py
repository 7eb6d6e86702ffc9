"""Finding, decoding and ordering images; knows no training method. What `--data`, `--a`, `--b` and `doctor` read:

**Splits.** `train`, `training` or `trn` is for training. Held out is the first of `test`, `val`, `valid`, `validation`,
`testing`, `tst`, `validate`, `evaluation`, `eval`, `dev`, `holdout`, `held-out`. Case does not matter, and all may
share words (`seg_train`, `seg_test`). If a folder with images has another name, or none is for training, all are
classes. `pred` and `unlabeled` belong to no split. Domains may be `trainA`, `train_A`, `training/A` or `A/train`.

**Formats.**

- JPEG, PNG, WebP, BMP, TIFF, GIF, AVIF, PGM, PPM, PBM and PNM by Pillow (AVIF since 11.3) and tifffile, with endings in
  any case, and as `photo.jpg?size=large`; HEIC and HEIF with `pip install "ganshift[heic]"`
- zip, tar, `.tar.gz` and `.tgz`, and a folder inside one (`data.zip/train`): read in place, gzip by a temporary file
  (`TMPDIR`). Links are not followed, backslashes separate folders
- `.npy` and `.npz`: images n h w c, n h w or n c h w. In an `.npz`, `labels`, `y`, `target`, `class` or `arr_1` are
  classes; `train`, `val` or `test` in a name is the split. Nothing pickled is loaded
- MNIST's files (`train-images-idx3-ubyte`, also `.gz`): their folder, or one of them. EMNIST's images lie on their side
- Parquet tables of Hugging Face with `pip install "ganshift[parquet]"`: a file or a folder of them, with a column of
  images and `label`. Unpack sets larger than `--memory-budget`, since reading one image decodes its row group
- StyleGAN's `dataset.json`: its labels are the classes, the folders are not. A damaged one gives none, with a warning
- An error says how to unpack 7-Zip, RAR, LMDB, TFRecord, MATLAB, HDF5, Arrow, pickles, DICOM, NIfTI, JPEG XL, JPEG 2000
  and raw camera files. Folders of systems (`@eaDir`, `__MACOSX`, those with a dot in front) are skipped. Names are
  compared in composed Unicode

**What is read of a file.** Training, `doctor` and `translate` agree.

- 8 bits a value: 0 is black, 255 white; gray, colour, palette or CMYK, with or without opacity
- more bits (16-bit PNG; TIFF of 16 or 32 bits, signed, unsigned or float): the range of the set says which values are
  black and white. Unless you give one, up to 256 files decide: percentiles 0.1 and 99.9 if values are floats or cover
  less than half of the type, otherwise the whole type. Runs of 0.1.0 take 16 bits as 0 to 65,535, and floats as 0 to 1
  if none is above 1
- an orientation from the camera turns the picture upright; an ICC profile is converted to sRGB, unless it is broken
- of extra TIFF channels, opacity is the one that `ExtraSamples` names; others, such as infrared, are left out
- of several pages (TIFF) or frames (GIF, WebP, PNG) training takes the first, and says of pages how many files have
  more; `translate` writes all (`NAME-page2.png`)
- channels that are neither gray nor colour, such as 13 of Sentinel-2: the file is left out, with the reason

**Memory.** Decoded images stay in memory up to `--memory-budget`; larger sets are read again by `--workers` processes.
For those of at least 200 files an index in `~/.cache/ganshift/images` (or below `XDG_CACHE_HOME`) keeps what the first
opening found, while names, sizes and times of the files, settings and versions stay the same. Arrays and packed tars
have none. You may delete it.
"""
