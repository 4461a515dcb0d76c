"""Arrays of data sets that others wrote: pickles, files of numpy and HDF5, packed tars."""
