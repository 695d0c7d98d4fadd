"""What survives abuse: damaged files, killed processes, full disks, crowds of readers."""
