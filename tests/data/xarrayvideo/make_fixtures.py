"""Make the cubes in this folder, and what xarrayvideo decodes them to.

The package xarrayvideo is in no registry, so this follows its source by hand (repository
IPL-UV/xarrayvideo, ``xarrayvideo.py``, ``ffmpeg_wrappers.py`` and ``utils.py`` of commit
e4f48e8; "early" follows 09b1ce1): the same ffmpeg commands, the same text in the tag, and
the same steps back, with the arithmetic of numpy 1, on which it was published. It shares no
code with xvcomp. Variables with four axes ("levels") xarrayvideo writes, but its own reader
gives up on them: what is expected is what was written. Needs the programs of FFmpeg (5.1
was used), numpy, xarray and netCDF4.
"""

import subprocess
from pathlib import Path

import numpy as np
import xarray as xr

HERE = Path(__file__).parent
T, Y, X = 3, 16, 24
RNG = np.random.default_rng(42)
X265 = ["-c:v", "libx265", "-preset", "medium", "-crf", "7", "-tune", "psnr"]
FFV1 = ["-c:v", "ffv1"]


def np2str(array):
    return str((np.trunc(array * 10**7) / 10**7).tolist())


def field(seed, frames=T, height=Y, width=X):
    t, y, x = np.ogrid[:frames, :height, :width]
    smooth = np.sin(y / 5 + seed) * np.cos(x / 6 - seed / 2) + 0.2 * t
    return (smooth + RNG.normal(0, 0.02, smooth.shape)).astype(np.float32)


def normalize(array, ranges, bits):
    found = []
    for c in range(array.shape[-1]):
        low, high = ranges[c]
        codes = (array[..., c].astype(np.float32) - low) / (high - low) * (2**bits - 1)
        codes[codes > 2**bits - 1] = 2**bits - 1
        codes[codes < 0] = 0
        codes[np.isnan(codes)] = 0
        found.append(codes)
    return np.round(np.stack(found, axis=-1)).astype(np.uint8 if bits == 8 else np.uint16)


def denormalize(codes, ranges, bits):
    found = []
    for c in range(codes.shape[-1]):
        span = np.float32(ranges[c, 1] - ranges[c, 0])
        value = codes[..., c].astype(np.float32) / np.float32(2**bits - 1)
        found.append(value * span + np.float32(ranges[c, 0]))
    return np.stack(found, axis=-1)


def ffmpeg(arguments, data=b""):
    command = ["ffmpeg", "-y", "-loglevel", "error", *arguments]
    return subprocess.run(command, input=data, capture_output=True, check=True).stdout


def write(path, codes, pix_fmt, coded_fmt, params, metadata):
    """Write (t, x, y, 3), rgb -> gbr, planes of (y, x)."""
    planes = np.transpose(codes[..., [1, 2, 0]], (0, 3, 2, 1))
    size = f"{codes.shape[1]}x{codes.shape[2]}"
    raw = ["-f", "rawvideo", "-pix_fmt", pix_fmt, "-s", size, "-framerate", "30", "-i", "pipe:"]
    tag = ["-metadata", f"XARRAY={metadata}"]
    ffmpeg([*raw, *params, "-pix_fmt", coded_fmt, "-r", "30", *tag, str(path)], planes.tobytes())


def read(path, shape, pix_fmt, bits):
    data = ffmpeg(["-i", str(path), "-f", "rawvideo", "-pix_fmt", pix_fmt, "pipe:"])
    planes = np.frombuffer(data, np.uint8 if bits == 8 else np.uint16)
    planes = planes.reshape(shape[0], 3, shape[2], shape[1])
    return np.transpose(planes, (0, 3, 2, 1))[..., [2, 0, 1]]


def fit_pca(array, n):
    flat = array.reshape(-1, array.shape[-1])
    mean = flat.mean(axis=0)
    _, _, matrix = np.linalg.svd(flat - mean, full_matrices=False)
    components = matrix[:n]
    dr = {
        "copy": True, "iterated_power": "auto", "n_components": n, "n_oversamples": 10,
        "power_iteration_normalizer": "auto", "random_state": None, "svd_solver": "auto",
        "tol": 0.0, "whiten": False,
    }  # fmt: skip
    params = {
        "scaler": "None", "dr": str(dr), "dr_matrix": np2str(components),
        "dr_mean": np2str(mean), "dr_bands": str(array.shape[-1]),
    }  # fmt: skip
    kept = [np.trunc(a * 10**7) / 10**7 for a in (components, mean)]
    return (flat - mean) @ components.T, str(params), kept


def rule(folder, name, ds, bands, dims, params, bits, *, n_components=0, early=False):
    """Encode variables; return what xarrayvideo reads back, in the order of its axes."""
    if len(dims) == 3:
        attrs = {b: ds[b].attrs for b in bands}
        array = np.stack([ds[b].transpose(*dims).values for b in bands], axis=-1)
        own = list(bands)
        recorded = ds[bands[0]].dims if early else dims
    else:
        attrs, own = {bands: ds[bands].attrs}, [bands]
        array = ds[bands].transpose(*dims).values
        recorded, bands = dims, [f"{bands}_{dims[-1]}_{v}" for v in ds[dims[-1]].values]
    original = array.astype(np.float32)
    pca_text, pca = None, None
    if n_components:
        flat, pca_text, pca = fit_pca(array, n_components)
        array = flat.reshape(*array.shape[:3], n_components).astype(np.float32)
    channels = array.shape[-1]
    repeats = -channels % 3
    array = np.concatenate([array, *[array[..., [-1]]] * repeats], axis=-1)
    bands = list(bands) + [bands[-1]] * repeats
    axes = (0, 1, 2)
    ranges = np.stack([np.nanmin(array, axis=axes), np.nanmax(array, axis=axes)], axis=1)
    ranges = ranges.astype(np.float32)
    lossless = "ffv1" in params
    normalized = array.dtype.kind == "f"
    codes = normalize(array, ranges, bits) if normalized else array
    pix_fmt = "gbrp" if bits == 8 else f"gbrp{bits}le"
    coded = ("bgr0" if lossless else "yuv444p") + ("" if bits == 8 else f"{bits}le")
    metadata = {
        "VERSION": "0.2",
        "BANDS": str(bands) if len(dims) == 3 else str(own),
        "CHANNELS": 3,
        "COORDS_DIMS": str(tuple(recorded)),
        "ATTRS": str(attrs),
        "FRAMES": str(array.shape[0]),
        "RANGE": np2str(ranges),
        "OUT_PIX_FMT": pix_fmt,
        "REQ_PIX_FMT": coded,
        "PLANAR": True,
        "BITS": bits,
        "NORMALIZED": normalized,
        "CHANNEL_ORDER": "gbr",
        "PCA_PARAMS": pca_text,
    }
    back = []
    for i in range(array.shape[-1] // 3):
        metadata["ORDER"] = i + 1
        path = folder / f"{name}_{i + 1:03d}.mkv"
        write(path, codes[..., 3 * i : 3 * i + 3], pix_fmt, coded, params, metadata)
        back.append(read(path, array.shape, pix_fmt, bits))
    decoded = np.concatenate(back, axis=-1)
    if normalized:
        decoded = denormalize(decoded, np.trunc(ranges * 10**7) / 10**7, bits)
    if pca is not None:
        matrix, mean = (a.astype(np.float32) for a in pca)
        decoded = decoded[..., :n_components] @ matrix + mean
    error = np.nanmax(np.abs(decoded[..., : original.shape[-1]] - original))
    assert error <= (0 if lossless else 0.6), f"{name} comes back with an error of {error}"
    if len(dims) == 4:
        return {own[0]: decoded[..., :channels]}
    return {band: decoded[..., i] for i, band in enumerate(own)}


def save(folder, ds, drop, expected):
    rest = ds.drop_vars(drop)
    encoding = {v: {"zlib": folder.name == "minicube"} for v in rest.variables if rest[v].ndim}
    rest.to_netcdf(folder / "x.nc", encoding=encoding)
    np.savez_compressed(folder / "expected.npz", **expected)


def cube(bands, dims=("time", "y", "x")):
    coords = {
        "time": np.datetime64("2020-01-01", "ns") + np.arange(T) * np.timedelta64(5, "D"),
        "y": 4_500_000.0 - 20 * np.arange(Y),
        "x": 300_000.0 + 20 * np.arange(X),
    }
    ds = xr.Dataset({b: (dims, field(i)) for i, b in enumerate(bands)}, coords=coords)
    for i, b in enumerate(bands):
        ds[b].attrs = {"units": "nanometer", "band": b, "wavelength": 490.5 + i, "gain": np.nan}
    ds["elevation"] = ("y", "x"), (100 * field(9, 1)[0]).astype("i2")
    return ds.assign_attrs(title="made by hand", spatial_res=20.0)


def folder_for(name):
    folder = HERE / name
    folder.mkdir(exist_ok=True)
    return folder


def main():
    dims = ("time", "y", "x")
    ds, folder = cube(["B04", "B03", "B02"]), folder_for("minicube")
    ds.B03[1] = np.nan
    for i, name in enumerate(["SCL", "cloudmask_en", "invalid"]):
        ds[name] = dims, RNG.integers(0, 4 + 3 * i, (T, Y, X)).astype("u1")
    bands, masks = ["B04", "B03", "B02"], ["SCL", "cloudmask_en", "invalid"]
    found = rule(folder, "rgb", ds, bands, dims, X265, 12)
    found |= rule(folder, "masks", ds, masks, dims, FFV1, 8)
    save(folder, ds, bands + masks, found)

    ds, folder = cube(["R", "G", "B", "NIR"]), folder_for("planet")
    ds["labels"] = ("time_month", "y", "x"), RNG.integers(0, 7, (2, Y, X)).astype("u1")
    found = rule(folder, "bands", ds, ["R", "G", "B", "NIR"], dims, X265, 10)
    found |= rule(folder, "labels", ds, ["labels"], ("time_month", "y", "x"), FFV1, 8)
    save(folder, ds, ["R", "G", "B", "NIR", "labels"], found)

    names = ["B02", "B03", "B04", "B05", "B06"]
    ds, folder = cube(names), folder_for("pca")
    found = rule(folder, "s2", ds, names, ("time", "x", "y"), X265, 12, n_components=3)
    save(folder, ds, names, found)

    ds, folder = cube(["VV", "VH"]), folder_for("early")
    found = rule(folder, "sar", ds, ["VV", "VH"], ("time", "x", "y"), X265, 12, early=True)
    save(folder, ds, ["VV", "VH"], found)

    ds, folder = cube([]), folder_for("levels")
    fields = np.stack([field(i) for i in range(4)], axis=1)
    ds["u"] = ("time", "level", "y", "x"), fields, {"units": "m s-1"}
    ds = ds.assign_coords(level=[200, 300, 500, 850])
    found = rule(folder, "u", ds, "u", ("time", "x", "y", "level"), X265, 12)
    save(folder, ds, ["u"], found)


if __name__ == "__main__":
    main()
