"""How the s3 origin reads a bucket, keeps what it read, and reads ahead."""
