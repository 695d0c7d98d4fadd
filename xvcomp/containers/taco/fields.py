"""What the columns of a dataset's tables mean, in words, for ``COLLECTION.json``."""

__all__ = ["describe_field"]

_MEANINGS = {
    "id": "Identifier of the sample, or the name of a file in it",
    "type": "FILE, or FOLDER for a sample of several files",
    "split": "Part of the dataset: train, test or validation",
    "stac:crs": "Coordinate reference system: EPSG code or WKT",
    "stac:geotransform": "Affine transform, in the order of GDAL",
    "stac:tensor_shape": "Time steps, bands, rows, columns",
    "stac:centroid": "Centre in degrees east and north, WKB",
    "stac:time_start": "First time step, UTC",
    "stac:time_middle": "Middle between the first and the last time step, UTC",
    "stac:time_end": "Last time step, UTC",
    "xvcomp:format_version": "Version of the cube file's format",
    "xvcomp:bands": "Variables that are coded as video",
    "xvcomp:codec": "Codecs of the cube's groups; none where packets alone carry the data",
    "xvcomp:pix_fmt": "Pixel formats of the video tracks",
    "xvcomp:frames": "Time steps",
    "xvcomp:gop": "Time steps that are decoded together",
    "xvcomp:psnr": "Measured PSNR of the worst quality set, dB; infinite for lossless cubes",
    "xvcomp:max_error": "Largest measured error of any sample, in the variable's unit",
    "xvcomp:raw_nbytes": "Size of the arrays, bytes",
    "xvcomp:nbytes": "Size of the cube file, bytes",
    "xvcomp:sha256": "Checksum of the file",
    "internal:current_id": "Number of the row, unique over all parts",
    "internal:parent_id": "Number of the sample's row; of a sample, its own",
    "internal:offset": "First byte of the file, or of a folder's own table, in the archive",
    "internal:size": "Bytes there",
    "internal:relative_path": "Path inside of DATA/",
}


def describe_field(name: str) -> str:
    """Return what a column means; nothing for a user's own."""
    return _MEANINGS.get(name, "")
